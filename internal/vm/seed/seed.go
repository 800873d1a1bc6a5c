// Package seed makes the disk from which a machine learns at its first boot who it is: a NoCloud ISO.
//
// It owns the form of the files on it and the hashing of passwords for them. It does not own the facts (the machine's
// osProfile is its provider's) nor the file's place on disk.
//
//	Config ─▶ ISO ─▶ volume "cidata": meta-data, user-data (#cloud-config) [, vendor-data and custom-data]
//
// The customer's own customData goes to vendor-data, which cloud-init reads in the same forms as user-data (script,
// cloud-config, MIME), so that user-data stays plain enough for a guest without cloud-init.
package seed

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Config is what a guest is told at its first boot.
type Config struct {
	InstanceID   string   // the machine's GUID; another one makes cloud-init run again
	Hostname     string   // osProfile.computerName
	User         string   // osProfile.adminUsername; empty: no user is made (specialized images have theirs)
	SSHKeys      []string // authorized_keys lines
	PasswordHash string   // from HashPassword; empty: the password is locked
	PasswordSSH  bool     // sshd accepts passwords (disablePasswordAuthentication=false)
	CustomData   []byte   // as decoded from osProfile.customData; at most 64 KiB
}

// Limits of Azure's osProfile (learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update): customData
// is at most 65535 bytes.
const (
	maxCustomData = 65535
	maxKeys       = 64
	maxKey        = 16 << 10
)

// ISO answers the bytes of the seed, or the first fault of c.
func ISO(c Config) ([]byte, error) {
	files, err := Files(c)
	if err != nil {
		return nil, err
	}
	return writeISO("cidata", files), nil
}

// Files answers the files of the seed by name.
func Files(c Config) (map[string][]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"meta-data": fmt.Appendf(nil, "instance-id: %s\nlocal-hostname: %s\n", scalar(c.InstanceID), scalar(c.Hostname)),
		"user-data": userData(c),
	}
	if len(c.CustomData) > 0 {
		files["vendor-data"] = c.CustomData
		files["custom-data"] = c.CustomData
	}
	return files, nil
}

func userData(c Config) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#cloud-config\nhostname: %s\n", scalar(c.Hostname))
	if c.User != "" {
		fmt.Fprintf(&b, "users:\n  - name: %s\n    lock_passwd: %t\n", scalar(c.User), c.PasswordHash == "")
		if c.PasswordHash != "" {
			fmt.Fprintf(&b, "    passwd: %s\n", quote(c.PasswordHash))
		}
		fmt.Fprintf(&b, "    sudo: \"ALL=(ALL) NOPASSWD:ALL\"\n    shell: /bin/bash\n")
		if len(c.SSHKeys) > 0 {
			fmt.Fprintf(&b, "    ssh_authorized_keys:\n")
		}
		for _, k := range c.SSHKeys {
			fmt.Fprintf(&b, "      - %s\n", quote(strings.TrimSpace(k)))
		}
	}
	fmt.Fprintf(&b, "ssh_pwauth: %t\n", c.PasswordSSH)
	return b.Bytes()
}

func (c Config) validate() error {
	// The patterns are narrower than YAML needs, because the names also reach a guest's shell and hosts file.
	host := regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$`)
	user := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)
	id := regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	hash := regexp.MustCompile(`^\$6\$[./A-Za-z0-9$=]{1,128}$`)
	switch {
	case !id.MatchString(c.InstanceID):
		return errors.New("seed: instance id has other characters than A-Z a-z 0-9 -")
	case !host.MatchString(c.Hostname):
		return fmt.Errorf("seed: %q is not a host name", c.Hostname)
	case c.User != "" && !user.MatchString(c.User):
		return fmt.Errorf("seed: %q is not a user name", c.User)
	case c.PasswordHash != "" && !hash.MatchString(c.PasswordHash):
		return errors.New("seed: the password hash is not in SHA-512 crypt form")
	case len(c.CustomData) > maxCustomData:
		return fmt.Errorf("seed: custom data has %d bytes, at most %d are allowed", len(c.CustomData), maxCustomData)
	case len(c.SSHKeys) > maxKeys:
		return fmt.Errorf("seed: %d SSH keys, at most %d are allowed", len(c.SSHKeys), maxKeys)
	}
	for i, k := range c.SSHKeys {
		k = strings.TrimSpace(k)
		if k == "" || len(k) > maxKey || !utf8.ValidString(k) || strings.ContainsFunc(k, unprintable) {
			return fmt.Errorf("seed: SSH key %d is not one line of printable text", i+1)
		}
	}
	return nil
}

func unprintable(r rune) bool {
	return r != ' ' && !unicode.IsGraphic(r) || r == '\u2028' || r == '\u2029'
}

// scalar writes a value that validate has let pass without quotes, as guests with small parsers like it, unless YAML
// would take it for something else than text.
func scalar(s string) string {
	plain := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`).MatchString(s)
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		plain = false
	}
	if plain {
		return s
	}
	return quote(s)
}

// quote writes a double-quoted YAML scalar; validate has refused everything that needs more than these two escapes.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
