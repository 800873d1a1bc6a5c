// Command vitrine is a VM image gallery that several organisations share, speaking Azure's wire protocol.
package main

import (
	"os"

	"vitrine/internal/cli"
)

func main() {
	ctx, stop := cli.Signals()
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
