package client

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"vitrine/internal/proc"
)

// The lines between which cloud-init, and our own guest, show a machine's SSH host keys on the serial console.
const (
	keysBegin = "-----BEGIN SSH HOST KEY KEYS-----"
	keysEnd   = "-----END SSH HOST KEY KEYS-----"
)

// HostKeys reads the host keys that a machine showed last on its serial console. Lines that are no key, such as the
// kernel's that came in between, are passed over. None: the machine has not shown them (yet).
func HostKeys(serial string) []ssh.PublicKey {
	at := strings.LastIndex(serial, keysBegin)
	if at < 0 {
		return nil
	}
	block, _, complete := strings.Cut(serial[at+len(keysBegin):], keysEnd)
	if !complete {
		return nil
	}
	var keys []ssh.PublicKey
	for line := range strings.Lines(block) {
		if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(line))); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// KnownHosts writes keys as lines of a known_hosts file.
func KnownHosts(name string, keys []ssh.PublicKey) []byte {
	var b bytes.Buffer
	for _, key := range keys {
		b.WriteString(name + " ")
		b.Write(ssh.MarshalAuthorizedKey(key))
	}
	return b.Bytes()
}

// AddKnownHosts puts keys in the place of those that a file has under the name.
func AddKnownHosts(path, name string, keys []ssh.PublicKey) error {
	if len(keys) == 0 {
		return nil
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var all bytes.Buffer
	for line := range bytes.Lines(old) {
		if !bytes.HasPrefix(line, []byte(name+" ")) {
			all.Write(line)
		}
	}
	all.Write(KnownHosts(name, keys))
	if bytes.Equal(all.Bytes(), old) {
		return nil
	}
	return proc.Replace(path, func(f *os.File) error {
		_, err := f.Write(all.Bytes())
		return err
	})
}
