module windtunnel.invalid/tools

go 1.26

tool github.com/f1bonacc1/process-compose

require github.com/f1bonacc1/process-compose v1.120.0

replace github.com/f1bonacc1/glippy => ./glippy
