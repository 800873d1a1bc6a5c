package web

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits on what a client may send. The header limit leaves room for four tokens; Azure's own is of that order.
const (
	MaxHeader      = 64 << 10
	DefaultMaxBody = 4 << 20 // ARM takes 4 MB of template; a page write has at most 4 MiB
)

// Config says how Serve treats requests.
type Config struct {
	Log     *slog.Logger
	MaxBody int64            // bytes of a request body; DefaultMaxBody when 0
	Now     func() time.Time // time.Now
}

// Serve is the outermost handler: it gives a request its IDs, limits its body and writes one line of access log.
func Serve(cfg Config, next http.Handler) http.Handler {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := cfg.Now()
		rec := newRecord(r)
		rw := &recorder{ResponseWriter: w, rec: rec}
		rec.setResponseHeaders(rw.Header(), r.Header)
		r = r.WithContext(withRecord(r.Context(), rec))
		r.Body = bodyReader{http.MaxBytesReader(w, r.Body, cfg.MaxBody)} // w itself, so that it can tell the server to hang up
		defer func() {
			p := recover()
			rec.log(cfg.Log, r, cfg.Now().Sub(start), p)
			if p != nil {
				panic(p) // net/http ends the connection
			}
		}()
		next.ServeHTTP(rw, r)
	})
}

// Server is an http.Server with the time and size limits that a door on a network needs. Long uploads and downloads have
// no total limit; a connection that idles does.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    MaxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
