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

const (
	seedSuffix = ".iso"
	partSuffix = ".part" // not yet whole
)

func (p *Provider) seedPath(vmID string) string {
	return filepath.Join(p.Seeds, strings.ToLower(vmID)+seedSuffix)
}

// withSeed runs start while the disk is there by which the guest learns its name, user and keys at its first boot. It holds
// the client's custom data in clear, so it is gone again when start returns: QEMU has it open, and needs no name for it.
func (p *Provider) withSeed(m *resource, start func() error) error {
	if m.Properties.OS == nil {
		return start() // specialized: the guest knows
	}
	id := strings.ToLower(m.Properties.VMID)
	p.launching(id, 1)
	defer p.launching(id, -1)
	iso, err := p.seed(m)
	if err != nil {
		return err
	}
	path := p.seedPath(id)
	err = os.WriteFile(path+partSuffix, iso, 0o600)
	if err == nil {
		err = os.Rename(path+partSuffix, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("seed: %w", err), p.removeSeed(id))
	}
	return errors.Join(start(), p.removeSeed(id))
}

// launching counts the starts of a machine that are under way and use its seed.
func (p *Provider) launching(id string, more int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starts[id] += more; p.starts[id] == 0 {
		delete(p.starts, id)
	}
}

// sweepSeeds removes what a crash left.
func (p *Provider) sweepSeeds() error {
	entries, err := os.ReadDir(p.Seeds)
	faults := []error{err}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range entries {
		id, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), partSuffix), seedSuffix)
		if ok && !e.IsDir() && p.starts[id] == 0 {
			faults = append(faults, p.removeSeed(id))
		}
	}
	return errors.Join(faults...)
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
	for _, path := range []string{p.seedPath(vmID), p.seedPath(vmID) + partSuffix} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
