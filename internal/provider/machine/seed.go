package machine

import (
	"encoding/base64"
	"fmt"
	"strings"

	"vitrine/internal/vm/seed"
)

// withSeed runs start while the disk is there by which the guest learns its name, user and keys at its first boot.
func (p *Provider) withSeed(m *resource, start func() error) error {
	if m.Properties.OS == nil {
		return start() // specialized: the guest knows
	}
	return p.seeds.With(m.Properties.VMID, func() ([]byte, error) { return p.seed(m) }, start)
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
