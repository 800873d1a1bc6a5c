package cli

import (
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitrine/internal/client"
)

func TestQuote(t *testing.T) {
	for _, s := range []string{"", "plain", "/a/b-c_1.2", "two words", "it's", "$HOME `x` \"y\" \\", "a\nb", "ümlaut", "a;b&c|d", "*"} {
		out, err := exec.Command("sh", "-c", "printf %s "+quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("quote(%q) = %s, which the shell reads as %q (%v)", s, quote(s), out, err)
		}
	}
}

// The lines stay good in whatever folder the shell goes to.
func TestVariablesNameWholePaths(t *testing.T) {
	t.Chdir(t.TempDir())
	set, _ := (&env{data: "data"}).variables(client.Server{}, true)
	if last := set[len(set)-1]; last[0] != "AZURE_CONFIG_DIR" || !filepath.IsAbs(last[1]) || !strings.HasSuffix(last[1], "/data/azure") {
		t.Error(last)
	}
}

func TestListener(t *testing.T) {
	const tail = " 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0"
	for _, test := range []struct {
		line, addr string
		ok         bool
	}{
		{"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", "", false},
		{"   0: 00000000:0016 00000000:0000 0A" + tail, "0.0.0.0:22", true},
		{"   1: 0100007F:1F90 00000000:0000 0A" + tail, "127.0.0.1:8080", true},
		{"   2: 0100007F:1F90 0100007F:8000 01" + tail, "", false},
		{"   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A" + tail, "[::]:22", true},
		{"   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A" + tail, "[::1]:22", true},
		{"   0: 0000:0016 0000:0000 0A" + tail, "", false},
		{"   0: zz:zz 0000:0000 0A" + tail, "", false},
	} {
		addr, inode, ok := listener(test.line)
		if ok != test.ok || ok && (addr != netip.MustParseAddrPort(test.addr) || inode != "4711") {
			t.Errorf("listener(%q) = %v, %s, %v", test.line, addr, inode, ok)
		}
	}
}

func TestAzVersion(t *testing.T) {
	if v, err := azVersion([]byte(`{"azure-cli": "2.74.0", "azure-cli-core": "2.74.0", "extensions": {}}`)); v != "2.74.0" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	for _, bad := range []string{"", "{}", "az 2", `{"azure-cli": 2}`} {
		if v, err := azVersion([]byte(bad)); err == nil {
			t.Errorf("azVersion(%q) = %q", bad, v)
		}
	}
	if azBroken("/opt/az/bin/az", "2.45.0") || azBroken("/usr/bin/az", "2.74.0") {
		t.Error("a good az is called broken")
	}
}

func TestConceal(t *testing.T) {
	d := &demo{app: client.App{Password: "s3cr~t"}}
	for text, want := range map[string]string{
		"az login -u 'a' -p 's3cr~t' --tenant 'b'":       "az login -u 'a' -p '***' --tenant 'b'",
		`{"accessToken": "eyJ0.e30.x", "tenant": "t"}`:   `{"accessToken": "***", "tenant": "t"}`,
		"{\n  \"password\": \"other\",\n  \"a\": \"b\"}": "{\n  \"password\": \"***\",\n  \"a\": \"b\"}",
	} {
		if got := d.conceal(text); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := (&demo{}).conceal("plain"); got != "plain" {
		t.Errorf("without secrets: %q", got)
	}
}

func TestSSHArgs(t *testing.T) {
	m := client.Machine{VMID: "11111111-2222-3333-4444-555555555555", Address: "127.1.0.4", User: "azureuser"}
	got := sshArgs(sshSpec{user: "azureuser", identity: "/k", command: []string{"uname", "-a"}}, m, "/opt/my vitrine%", "/data")
	for _, want := range []string{"ProxyCommand='/opt/my vitrine%%' --data /data vm connect %h %p", "HostKeyAlias=" + m.VMID,
		`UserKnownHostsFile="/data/known_hosts"`, "StrictHostKeyChecking=accept-new"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if end := got[len(got)-4:]; !slices.Equal(end, []string{"--", "127.1.0.4", "uname", "-a"}) {
		t.Errorf("the command line ends in %q", end)
	}
}
