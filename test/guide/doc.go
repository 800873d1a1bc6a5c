// Package guide executes the commands of docs/guide, in order and in one shell, against the real program, the real az and a
// real machine, so that no guide can rot. The guide that needs a browser is executed by test/browser. test/playbook says what
// the kinds of fences mean. Links, subcommands and flags are followed in all pages.
package guide
