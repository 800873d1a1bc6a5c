package machine

import (
	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/machine/osprofile"
)

// secrets lists the members that lie sealed in the document.
func secrets(n *Properties) map[string]*string {
	out := map[string]*string{"userData": &n.UserData}
	if n.OS != nil {
		out["osProfile.adminPassword"], out["osProfile.customData"] = &n.OS.AdminPassword, &n.OS.CustomData
	}
	return out
}

// bound is what a secret is sealed for: a machine's member, so that no sealed value passes for another.
func bound(id arm.ID, member string) string { return id.Key() + "#" + member }

// sealSecrets seals what a request brought.
func (p *Provider) sealSecrets(w *control.Write[Properties]) error {
	if err := arm.Join(osprofile.CheckData("userData", "User data", w.New.Properties.UserData)); err != nil {
		return err
	}
	for member, text := range secrets(&w.New.Properties) {
		if *text == "" {
			continue
		}
		sealed, err := p.Sealer.Seal([]byte(*text), bound(w.ID, member))
		if err != nil {
			return err
		}
		*text = sealed
	}
	return nil
}

// keepSecrets carries sealed values over a change. A client that repeats them in clear is right when they are the same;
// only userData may change.
func (p *Provider) keepSecrets(w *control.Write[Properties]) error {
	before := secrets(&w.Old.Properties)
	for member, text := range secrets(&w.New.Properties) {
		old := ""
		if b := before[member]; b != nil {
			old = *b
		}
		if *text == "" || *text == old { // the latter: a PATCH, whose model began as the old one
			*text = old
			continue
		}
		if old != "" {
			plain, err := p.Sealer.Open(old, bound(w.ID, member))
			if err != nil {
				return err
			}
			if string(plain) == *text {
				*text = old
				continue
			}
		}
		if member != "userData" {
			return changed(member)
		}
		if err := arm.Join(osprofile.CheckData("userData", "User data", *text)); err != nil {
			return err
		}
		sealed, err := p.Sealer.Seal([]byte(*text), bound(w.ID, member))
		if err != nil {
			return err
		}
		*text = sealed
	}
	return nil
}

// reveal opens one secret of a machine; an absent one is empty.
func (p *Provider) reveal(id arm.ID, member, sealed string) ([]byte, error) {
	if sealed == "" {
		return nil, nil
	}
	return p.Sealer.Open(sealed, bound(id, member))
}
