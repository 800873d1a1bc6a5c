package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"vitrine/internal/client"
)

// variables are what points a client at the server. unset are those that would point it elsewhere.
func (e *env) variables(s client.Server, configDir bool) (set [][2]string, unset []string) {
	set = [][2]string{
		{"HTTPS_PROXY", s.Proxy}, {"https_proxy", s.Proxy},
		{"NO_PROXY", "127.0.0.1,localhost"}, {"no_proxy", "127.0.0.1,localhost"},
		{"REQUESTS_CA_BUNDLE", s.Bundle}, {"SSL_CERT_FILE", s.Bundle}, {"NODE_EXTRA_CA_CERTS", s.Bundle},
		{"AZURE_CORE_COLLECT_TELEMETRY", "no"},
	}
	if configDir {
		dir := filepath.Join(e.data, "azure")
		if whole, err := filepath.Abs(dir); err == nil { // the shell goes to other folders, and az would make it anew in each
			dir = whole
		}
		set = append(set, [2]string{"AZURE_CONFIG_DIR", dir})
	}
	return set, []string{"CURL_CA_BUNDLE", "SSL_CERT_DIR"} // curl believes either before SSL_CERT_FILE
}

func (e *env) env() *cobra.Command {
	var noConfigDir bool
	c := &cobra.Command{
		Use: "env", Short: "Print the export lines that point az, Terraform and the SDKs at the server",
		Long: `env prints POSIX shell lines. Clients then reach Azure's hosts through the server's proxy and trust its certificates
beside the system's. az gets a configuration folder of its own, so that your real logins stay as they are.`,
		Example: "  eval \"$(vitrine env)\"\n  eval \"$(vitrine env --no-config-dir)\"",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := e.server()
			if err != nil {
				return err
			}
			set, unset := e.variables(s, !noConfigDir)
			for _, v := range set {
				fmt.Fprintf(e.out, "export %s=%s\n", v[0], quote(v[1]))
			}
			for _, name := range unset {
				fmt.Fprintf(e.out, "unset %s\n", name)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&noConfigDir, "no-config-dir", false, "leave AZURE_CONFIG_DIR as it is")
	return c
}

// quote makes a word of any text for a POSIX shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,@%+=-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (e *env) exec() *cobra.Command {
	var noConfigDir bool
	c := &cobra.Command{
		Use: "exec [flags] -- CMD [ARG…]", Short: "Run a command in the environment that env prints",
		Example: "  vitrine exec -- az account list\n  vitrine exec -- terraform plan",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("exec needs a command, after --")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.server()
			if err != nil {
				return err
			}
			run := exec.CommandContext(cmd.Context(), args[0], args[1:]...)
			run.Stdin, run.Stdout, run.Stderr = e.in, e.out, e.err
			run.Env = e.environ(s, !noConfigDir)
			run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
			err = run.Run()
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				return ExitCode(exit.ExitCode())
			}
			return err
		},
	}
	c.Flags().BoolVar(&noConfigDir, "no-config-dir", false, "leave AZURE_CONFIG_DIR as it is")
	return c
}

// environ is this process's environment with the variables applied.
func (e *env) environ(s client.Server, configDir bool) []string {
	set, unset := e.variables(s, configDir)
	drop := map[string]bool{}
	for _, v := range set {
		drop[v[0]] = true
	}
	for _, name := range unset {
		drop[name] = true
	}
	var out []string
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !drop[name] {
			out = append(out, kv)
		}
	}
	for _, v := range set {
		out = append(out, v[0]+"="+v[1])
	}
	return out
}
