package machine

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vitrine/internal/vm/seed"
)

const seedSuffix = ".iso"

func (p *Provider) seedPath(vmID string) string {
	return filepath.Join(p.Seeds, strings.ToLower(vmID)+seedSuffix)
}

// writeSeed makes the disk by which the guest learns its name, user and keys at its first boot. One that is there stays:
// the password's salt would make it another one each time.
func (p *Provider) writeSeed(m *resource) error {
	o := m.Properties.OS
	path := p.seedPath(m.Properties.VMID)
	if o == nil {
		return nil // specialized: the guest knows
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	iso, err := p.seed(m)
	if err != nil {
		return err
	}
	part := path + ".part"
	if err := os.WriteFile(part, iso, 0o600); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return os.Rename(part, path)
}

func (p *Provider) seed(m *resource) ([]byte, error) {
	o := m.Properties.OS
	id := m.ParsedID()
	c := seed.Config{InstanceID: m.Properties.VMID, Hostname: o.ComputerName, User: o.AdminUsername}
	if o.Linux != nil {
		c.PasswordSSH = o.Linux.NoPassword == nil || !*o.Linux.NoPassword
		if o.Linux.SSH != nil {
			for _, k := range o.Linux.SSH.Keys {
				c.SSHKeys = append(c.SSHKeys, strings.TrimSpace(k.Data))
			}
		}
	}
	password, err := p.reveal(id, "osProfile.adminPassword", o.AdminPassword)
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	if len(password) > 0 {
		if c.PasswordHash, err = seed.HashPassword(string(password)); err != nil {
			return nil, err
		}
	}
	data, err := p.reveal(id, "osProfile.customData", o.CustomData)
	if err != nil {
		return nil, fmt.Errorf("custom data: %w", err)
	}
	if c.CustomData, err = base64.StdEncoding.DecodeString(string(data)); err != nil {
		return nil, fmt.Errorf("custom data: %w", err)
	}
	return seed.ISO(c)
}

func (p *Provider) removeSeed(vmID string) error {
	for _, path := range []string{p.seedPath(vmID), p.seedPath(vmID) + ".part"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// seeds lists the machines that have a seed, by vmId.
func (p *Provider) seeds() ([]string, error) {
	entries, err := os.ReadDir(p.Seeds)
	var ids []string
	for _, e := range entries {
		id, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".part"), seedSuffix)
		if ok && !e.IsDir() {
			ids = append(ids, id)
		}
	}
	return ids, err
}
