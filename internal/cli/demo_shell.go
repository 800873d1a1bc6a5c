package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// privateEnv is this process's environment without what would lead to the user's own things, and with what env prints.
func (d *demo) privateEnv() []string {
	private := *d.env
	private.data = d.dataDir()
	drop := func(name string) bool {
		return strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "ARM_") || strings.HasPrefix(name, "SSH_") || strings.HasPrefix(name, "XDG_")
	}
	cache, _ := os.UserCacheDir() // without a home there is none, and then none is needed
	set := map[string]string{
		"HOME": d.at("home"), "XDG_DATA_HOME": d.at("share"), "TMPDIR": d.at("tmp"),
		"PATH":          d.at("bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
		"VITRINE_CACHE": cmpOr(os.Getenv("VITRINE_CACHE"), filepath.Join(cache, "vitrine")), // where scripts/az finds its root: not below HOME
	}
	base := os.Environ()
	if d.server.Proxy != "" {
		base = private.environ(d.server, true)
	}
	var out []string
	for _, kv := range base {
		name, _, _ := strings.Cut(kv, "=")
		_, replaced := set[name]
		ours := d.server.Proxy != "" && (name == "AZURE_CONFIG_DIR" || name == "AZURE_CORE_COLLECT_TELEMETRY")
		if !replaced && (ours || !drop(name)) {
			out = append(out, kv)
		}
	}
	for name, value := range set {
		out = append(out, name+"="+value)
	}
	return out
}

// secret finds what is not shown in what commands print.
var secret = regexp.MustCompile(`("(?:accessToken|password)":\s*")[^"]+(")`)

// conceal hides secrets in a text.
func (d *demo) conceal(text string) string {
	for _, s := range []string{d.app.Password, d.one.Password, d.two.Password} {
		if s != "" {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	return secret.ReplaceAllString(text, "${1}***${2}")
}

// shell prints a command, runs it by sh, shows what it prints and answers its stdout.
func (d *demo) shell(ctx context.Context, command string) ([]byte, error) {
	fmt.Fprintf(d.say, "\n$ %s\n", d.conceal(command))
	var out bytes.Buffer
	run := d.command(ctx, "sh", "-c", command)
	run.Stdout, run.Stderr = &out, d.say
	err := run.Run()
	if text := strings.TrimRight(d.conceal(out.String()), "\n"); text != "" {
		fmt.Fprintln(d.say, text)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		name, _, _ := strings.Cut(command, " ")
		return out.Bytes(), &failed{name, exit.ExitCode()}
	}
	return out.Bytes(), err
}

// failed is a command of the walk that did not succeed; what it said was shown.
type failed struct {
	name string
	code int
}

func (f *failed) Error() string {
	return fmt.Sprintf("%s ended with exit status %d", f.name, f.code)
}

func (d *demo) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	run := exec.CommandContext(ctx, name, args...)
	run.Env, run.Dir = d.environ, d.at("home")
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	run.WaitDelay = 10 * time.Second
	return run
}

// checkAz runs az once, and gives the one build that is known to be broken the profile in which it works.
func (d *demo) checkAz(ctx context.Context) error {
	raw, err := d.command(ctx, d.az, "version", "--output", "json").Output()
	if err != nil {
		return fmt.Errorf("%s version: %w", d.az, err)
	}
	version, err := azVersion(raw)
	if err != nil {
		return fmt.Errorf("%s version: %w", d.az, err)
	}
	if !azBroken(d.az, version) {
		fmt.Fprintf(d.say, "# az %s\n", version)
		return nil
	}
	fmt.Fprintf(d.say, "# az %s of Debian 12 does not match the SDK beside it; it works in the API profile %s, which its private configuration names.\n", version, hybridProfile)
	return os.WriteFile(filepath.Join(d.dataDir(), "azure", "clouds.config"), []byte("[AzureCloud]\nprofile = "+hybridProfile+"\n"), 0o600)
}

const hybridProfile = "2020-09-01-hybrid"

func azVersion(raw []byte) (string, error) {
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", err
	}
	version, _ := v["azure-cli"].(string)
	if version == "" {
		return "", errors.New("it does not say which one it is")
	}
	return version, nil
}

// azBroken knows Debian 12's package of az 2.45: its commands for machines and networks crash in the default profile,
// since it was built against an older SDK than the one beside it. Microsoft's build of that version lies in /opt/az.
func azBroken(path, version string) bool {
	if !strings.HasPrefix(version, "2.45.") {
		return false
	}
	real, err := filepath.EvalSymlinks(path)
	return err == nil && real == "/usr/bin/az" && exists("/usr/lib/python3/dist-packages/azure/cli/core")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
