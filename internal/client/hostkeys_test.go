package client

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func key(t *testing.T) (line string) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
}

func TestHostKeys(t *testing.T) {
	a, b := key(t), key(t)
	block := func(lines ...string) string {
		return keysBegin + "\r\n" + strings.Join(lines, "\r\n") + "\r\n" + keysEnd + "\r\n"
	}
	for name, test := range map[string]struct {
		serial string
		want   []string
	}{
		"none":              {"[    0.1] Linux version 6.1\r\n", nil},
		"not complete":      {keysBegin + "\r\n" + a, nil},
		"one":               {"boot\r\n" + block(a+" root@myVM") + "login:", []string{a}},
		"kernel in between": {block(a, "[   12.3] random: crng init done", b), []string{a, b}},
		"the last block":    {block(a) + "reboot\r\n" + block(b), []string{b}},
		"garbage":           {block("ssh-ed25519 AAAA", "", "ssh-rsa"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, k := range HostKeys(test.serial) {
				got = append(got, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))))
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAddKnownHosts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	first, second, other := key(t), key(t), key(t)
	add := func(name, line string) {
		t.Helper()
		k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := AddKnownHosts(path, name, []ssh.PublicKey{k}); err != nil {
			t.Fatal(err)
		}
	}
	add("vm-1", first)
	add("vm-10", other)
	add("vm-1", second)
	got, err := os.ReadFile(path)
	if want := "vm-10 " + other + "\nvm-1 " + second + "\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
