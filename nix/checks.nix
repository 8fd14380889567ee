{ self, lib, pkgs, python }: { }
