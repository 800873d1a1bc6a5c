// Package harness starts the program as a process and the real az against it, for the packages of test/.
//
// It owns the server's life, the environment that leads clients to it, one private configuration folder for each az that runs
// beside others, and tables of commands. What is asked of the server, and what must come of it, is its users' matter.
//
//	Start ─▶ Server ─▶ Shell(name): an az with folders of its own ─▶ Walk(steps): command by command, JSON judged by path
package harness
