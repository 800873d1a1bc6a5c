package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"vitrine/internal/app"
	"vitrine/internal/audit"
	"vitrine/internal/cli/imagestore"
	"vitrine/internal/vm/netstack"
	"vitrine/internal/vm/qemu"
)

func (e *env) serve() *cobra.Command {
	var cfg app.Config
	var logFormat, logLevel, quota string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `serve runs the server: one listener that is a CONNECT proxy for Azure's hosts and takes TLS for them directly, and
an operator's socket in the data folder. Everything else is refused. Machines outlive the server; the next one finds them.`,
		Example: `  vitrine serve
  vitrine serve --data /srv/vitrine --listen 127.0.0.1:0 --ready-file /run/vitrine.json
  vitrine serve --allow-host pypi.org --vm-internet`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd, logFormat, logLevel)
			if err != nil {
				return err
			}
			if cfg.TenantQuota, err = imagestore.ParseQuota(quota); err != nil {
				return usageError{fmt.Errorf("--tenant-quota: %w", err)}
			}
			if cfg.MaxMachines < 1 {
				return usageError{errors.New("--max-machines is at least 1")}
			}
			cfg.Data, cfg.Log, cfg.Version = e.data, log, version()
			a, err := app.New(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer a.Close()
			s := a.Server()
			fmt.Fprintf(e.out, "ready: proxy %s, operator socket %s\n", s.Proxy, s.Operator)
			return a.Run(cmd.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Listen, "listen", app.DefaultListen, "address of the proxy; port 0 picks a free one")
	f.StringVar(&cfg.ReadyFile, "ready-file", "", "file to write, as JSON, once the server answers")
	f.StringVar(&cfg.KeyFile, "key-file", "", "master key (default DATA/master.key)")
	f.StringVar(&cfg.Database, "database", "", "PostgreSQL connection string (default SQLite in the data folder)")
	f.StringVar(&cfg.Blobs, "blobs", "", "object store for image bytes, s3://BUCKET[/PREFIX]?endpoint=HOST (default files in the data folder)")
	f.StringArrayVar(&cfg.AllowHosts, "allow-host", nil, "a further host that the proxy tunnels to; may be repeated")
	f.StringArrayVar(&cfg.Domains, "domain", nil, "a name of the operator's own that the CA may vouch for; may be repeated")
	f.StringArrayVar(&cfg.Issuers, "allow-issuer", nil, "an issuer (https://HOST[:PORT], with =IP for a private one) whose keys may be fetched for federated credentials; may be repeated")
	f.StringArrayVar(&cfg.Templates, "allow-template-source", nil, "a place (https://HOST[:PORT], with =IP for a private one) from which deployments may fetch linked templates; may be repeated")
	f.BoolVar(&cfg.Passwords, "allow-password-grant", false, "clients may sign people in by user name and password, for test automation")
	f.DurationVar(&cfg.AuditKeep, "audit-keep", audit.DefaultKeep, "how long the activity log is kept; negative: for ever")
	f.BoolVar(&cfg.Internet, "vm-internet", false, "machines may open connections to the outside")
	f.StringVar(&cfg.Accel, "accel", "", "kvm or tcg (default what a probe proves)")
	f.IntVar(&cfg.MaxMachines, "max-machines", app.DefaultMachines, "machines that may run at once")
	f.IntVar(&cfg.Throttle, "throttle", app.DefaultThrottle, "requests that a client may make, times Azure's limits; -1: any number")
	f.IntVar(&cfg.ScrubRate, "scrub-rate", app.DefaultScrubRate, "MiB a second at which stored images are verified, once a day; 0: no limit; negative: only when asked for")
	f.StringVar(&quota, "tenant-quota", "none", "bytes that each tenant may hold, such as 500GiB, unless 'vitrine tenant quota' gave it another quota")
	f.IntVar(&cfg.HydrateRate, "hydrate-rate", app.DefaultHydrateRate, "MiB a second at which what machines have not read of their images yet is copied to files; 0: no limit; negative: only what they read is")
	f.IntVar(&cfg.ReplicaRate, "replica-rate", 0, "MiB a second that travel between regions, all together; 0: no limit")
	f.StringVar(&logFormat, "log-format", "text", "text or json")
	f.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

func logger(cmd *cobra.Command, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{err}
	}
	options := &slog.HandlerOptions{Level: l}
	switch strings.ToLower(format) {
	case "text":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options)), nil
	}
	return nil, usageError{fmt.Errorf("unknown log format %q; it is text or json", format)}
}

// supervise, netstack and nbd are processes of the server that outlive it.
func (e *env) supervise() *cobra.Command {
	var dir string
	c := &cobra.Command{Use: "supervise", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return qemu.Supervise(cmd.Context(), dir) }}
	c.Flags().StringVar(&dir, "dir", "", "the machine's folder")
	return c
}

func (e *env) netstack() *cobra.Command {
	var dir string
	c := &cobra.Command{Use: "netstack", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return netstack.Run(cmd.Context(), dir) }}
	c.Flags().StringVar(&dir, "dir", "", "the network's folder")
	return c
}

func (e *env) nbd() *cobra.Command {
	var dir, blobs string
	c := &cobra.Command{Use: "nbd", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return app.ServeBases(cmd.Context(), dir, blobs) }}
	c.Flags().StringVar(&blobs, "blobs", "", "where image bytes are")
	c.Flags().StringVar(&dir, "dir", "", "the process's folder")
	return c
}
