// Package playbook executes the commands of a guide, in order and in one shell, as somebody who reads it would type them, and
// compares what they print with what the guide says. It is for tests: of this module, and of test/browser, which is another.
//
// The language of a fence says what becomes of it:
//
//	```sh            executed; the first command that fails ends the test
//	```sh fails      one command that must fail
//	```sh port22     executed unless another listener has port 22 of all loopback addresses; then it is left out, by name
//	```text          all that the block before it prints, to standard output and error; … is any text, alone on a line any lines
//	```browser       what to do in the browser's window, given to the test
//	```console       for reading only; a test that allows none calls [Page.Unexecuted]
//
// In text and browser fences the shell replaces its variables.
package playbook
