package app

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"vitrine/internal/vm"
	"vitrine/internal/web"
)

// Config is what an installation is started with.
type Config struct {
	Data        string        // the data folder; made when absent, mode 0700
	Listen      string        // "127.0.0.1:8440"; port 0 picks a free one
	ReadyFile   string        // written when the server answers; empty: none
	KeyFile     string        // master key; empty: DATA/master.key
	Database    string        // PostgreSQL DSN; empty: SQLite in the data folder
	AllowHosts  []string      // further hosts that the proxy tunnels to
	Domains     []string      // the operator's own names, for which the CA may vouch
	Issuers     []string      // https://… whose tokens applications may trust (federated credentials); with =IP where it is
	Templates   []string      // https://… from which linked templates may be fetched, as Issuers
	Passwords   bool          // the password grant is on
	Internet    bool          // machines may open connections to the outside
	Accel       string        // "kvm", "tcg"; empty: what a probe proves
	Machines    vm.Runtime    // what runs machines; nil: QEMU
	Networks    vm.Networks   // what connects them; nil: our own processes
	Self        []string      // how to start this program's hidden subcommands; {"/proc/self/exe"}
	MaxCPUs     int           // of a machine; 0: 2
	MaxMemory   int           // MiB of a machine; 0: 1024
	MaxMachines int           // that run at once; 0: 64
	Throttle    int           // times Azure's limits of requests; 0: DefaultThrottle; negative: none
	AuditKeep   time.Duration // how long the activity log is kept; 0: audit.DefaultKeep; negative: for ever
	ScrubRate   int           // MiB a second that a scrub reads; 0: no limit; negative: no scrub unless asked for
	HydrateRate int           // MiB a second that are copied ahead of machines; 0: no limit; negative: none are
	ReplicaRate int           // MiB a second that travel between regions; 0: no limit
	Version     string
	Log         *slog.Logger
	Now         func() time.Time
}

func (c *Config) complete() error {
	if c.Data == "" {
		return fmt.Errorf("a data folder is needed")
	}
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	c.Data = data
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	if c.KeyFile == "" {
		c.KeyFile = filepath.Join(data, "master.key")
	}
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Self) == 0 {
		c.Self = []string{"/proc/self/exe"}
	}
	if c.MaxCPUs == 0 {
		c.MaxCPUs = 2
	}
	if c.MaxMemory == 0 {
		c.MaxMemory = 1024
	}
	if c.MaxMachines == 0 {
		c.MaxMachines = DefaultMachines
	}
	return nil
}

// allowed reads where something may be fetched from; flag is what the operator said it with.
func allowed(flag string, texts []string) ([]web.Origin, error) {
	var list []web.Origin
	for _, text := range texts {
		o, err := web.ParseOrigin(text)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		list = append(list, o)
	}
	return list, nil
}

// DefaultScrubRate is how many MiB a second a scrub reads unless told otherwise.
const DefaultScrubRate = 32

// DefaultHydrateRate is how many MiB a second are copied from images ahead of their machines unless told otherwise.
const DefaultHydrateRate = 64

// DefaultMachines is how many machines run at once unless told otherwise.
const DefaultMachines = 64

// DefaultListen is where the server listens unless told otherwise.
const DefaultListen = "127.0.0.1:8440"
