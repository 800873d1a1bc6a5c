// Command vitrine is a VM image gallery that several organisations share, speaking Azure's wire protocol.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"vitrine/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
