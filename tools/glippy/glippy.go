// Package glippy stands in for github.com/f1bonacc1/glippy, the one dependency of process-compose
// that not every Go module proxy can deliver. process-compose uses it only to copy text from its
// terminal interface; here that is always the OSC 52 escape, which terminals and tmux understand
// (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html, "Operating System Commands", Ps = 52).
package glippy

import (
	"encoding/base64"
	"fmt"
	"os"
)

// Method says how the text reached the clipboard.
type Method int

// MethodOSC52 is the escape sequence written to the controlling terminal.
const MethodOSC52 Method = 1

// String names the method for process-compose's status line.
func (m Method) String() string { return "OSC 52" }

// Set copies text to the clipboard of the terminal. It fails where there is no terminal.
func Set(text string) error {
	_, err := SetWithMethod(text)
	return err
}

// SetWithMethod is Set, and tells the method.
func SetWithMethod(text string) (Method, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		return MethodOSC52, err
	}
	defer tty.Close()
	_, err = fmt.Fprintf(tty, "\x1b]52;c;%s\a", base64.StdEncoding.EncodeToString([]byte(text)))
	return MethodOSC52, err
}
