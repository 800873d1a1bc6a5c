package seed

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kdomanski/iso9660"
)

const key = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ azureuser@laptop"

func full() Config {
	return Config{InstanceID: "9a3c1b7e-0000-4000-8000-000000000001", Hostname: "myVM", User: "azureuser",
		SSHKeys: []string{key + "\n"}, PasswordHash: "$6$salt$hash", PasswordSSH: true, CustomData: []byte("#!/bin/sh\ntrue\n")}
}

func TestUserData(t *testing.T) {
	noPassword := full()
	noPassword.PasswordHash, noPassword.PasswordSSH = "", false
	odd := Config{InstanceID: "1-2", Hostname: "true", User: "no", SSHKeys: []string{`from="10.0.0.1\" ssh-rsa AAAA`}}
	for name, test := range map[string]struct {
		c    Config
		want string
	}{
		"key only": {noPassword, `#cloud-config
hostname: myVM
users:
  - name: azureuser
    lock_passwd: true
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    shell: /bin/bash
    ssh_authorized_keys:
      - "` + key + `"
ssh_pwauth: false
`},
		"password": {full(), `#cloud-config
hostname: myVM
users:
  - name: azureuser
    lock_passwd: false
    passwd: "$6$salt$hash"
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    shell: /bin/bash
    ssh_authorized_keys:
      - "` + key + `"
ssh_pwauth: true
`},
		"words of YAML are quoted": {odd, `#cloud-config
hostname: "true"
users:
  - name: "no"
    lock_passwd: true
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    shell: /bin/bash
    ssh_authorized_keys:
      - "from=\"10.0.0.1\\\" ssh-rsa AAAA"
ssh_pwauth: false
`},
		"no user": {Config{InstanceID: "a", Hostname: "h"}, "#cloud-config\nhostname: h\nssh_pwauth: false\n"},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := Files(test.c)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, string(files["user-data"])); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHostileValuesAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"newline in host name":    func(c *Config) { c.Hostname = "a\nruncmd: [reboot]" },
		"empty host name":         func(c *Config) { c.Hostname = "" },
		"host name with blank":    func(c *Config) { c.Hostname = "a b" },
		"newline in user":         func(c *Config) { c.User = "a\n  - name: root" },
		"user with colon":         func(c *Config) { c.User = "a:b" },
		"user like an option":     func(c *Config) { c.User = "-x" },
		"newline in key":          func(c *Config) { c.SSHKeys = []string{key + "\nruncmd: [x]"} },
		"return in key":           func(c *Config) { c.SSHKeys = []string{"a\rb"} },
		"line separator in key":   func(c *Config) { c.SSHKeys = []string{"a\u2028b"} },
		"NUL in key":              func(c *Config) { c.SSHKeys = []string{"a\x00b"} },
		"invalid UTF-8 in key":    func(c *Config) { c.SSHKeys = []string{"a\xff"} },
		"empty key":               func(c *Config) { c.SSHKeys = []string{" "} },
		"too many keys":           func(c *Config) { c.SSHKeys = make([]string, maxKeys+1) },
		"clear text for a hash":   func(c *Config) { c.PasswordHash = "secret" },
		"newline in hash":         func(c *Config) { c.PasswordHash = "$6$a$b\nx" },
		"instance id with quotes": func(c *Config) { c.InstanceID = `a"b` },
		"custom data too large":   func(c *Config) { c.CustomData = make([]byte, maxCustomData+1) },
	} {
		t.Run(name, func(t *testing.T) {
			c := full()
			spoil(&c)
			if iso, err := ISO(c); err == nil || iso != nil {
				t.Errorf("accepted")
			}
		})
	}
}

// TestISO reads the volume by another implementation of the format.
func TestISO(t *testing.T) {
	c := full()
	c.CustomData = bytes.Repeat([]byte("0123456789abcdef"), 4000) // several sectors
	iso, err := ISO(c)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := ISO(c)
	if !bytes.Equal(iso, again) {
		t.Error("not deterministic")
	}
	if label := string(iso[32808:32814]); label != "cidata" {
		t.Errorf("label %q", label)
	}
	img, err := iso9660.OpenImage(bytes.NewReader(iso))
	if err != nil {
		t.Fatal(err)
	}
	root, err := img.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	children, err := root.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := Files(c)
	got := map[string][]byte{}
	for _, f := range children {
		b, err := io.ReadAll(f.Reader())
		if err != nil {
			t.Fatal(err)
		}
		got[f.Name()] = b
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Vectors of the specification (salt of 16 bytes; default rounds) and of openssl passwd -6.
func TestSHA512Crypt(t *testing.T) {
	for _, v := range []struct{ password, salt, want string }{
		{"Hello world!", "saltstring",
			"svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
		{"a", "x", "6Zqbz8j5rMHIeJ1ujjjFXuZXSa/VORj.fVUEQcJc.rjR9.wCKlhZuymRQLtIEzcxNmqwX/fRNvM45BbvFayY51"},
		{strings.Repeat("long password ", 10), "0123456789abcdef",
			"swLCFs0jsOmo6pO9E2m7/jAQSEtaLuluZN8TZ4iDxrJZqnNlkl6BVCMadF1XrTkDmaGPmcLq43Hcz1yAO7ez81"},
	} {
		if got, want := sha512Crypt(v.password, v.salt), "$6$"+v.salt+"$"+v.want; got != want {
			t.Errorf("%q:\n got %s\nwant %s", v.password, got, want)
		}
	}
}

func TestHashPassword(t *testing.T) {
	a, err := HashPassword("P@ssw0rd123!")
	if err != nil {
		t.Fatal(err)
	}
	salt := strings.Split(a, "$")[2]
	if len(salt) != 16 || sha512Crypt("P@ssw0rd123!", salt) != a {
		t.Errorf("%q", a)
	}
	c := full()
	c.PasswordHash = a
	if _, err := ISO(c); err != nil {
		t.Error(err)
	}
	if _, err := HashPassword(""); err == nil {
		t.Error("an empty password is accepted")
	}
}
