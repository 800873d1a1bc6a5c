package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Signals gives a context that ends with the first interrupt or SIGTERM. The second one ends the process as it would any
// other, in case something does not look at its context.
func Signals() (ctx context.Context, stop context.CancelFunc) {
	ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
