package share

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// Consumer is somebody who uses the gallery through its sharing, and how much. It names nobody whom the publisher did not name: a
// subscription of a tenant that the gallery is shared with counts for the tenant, and the community is one consumer.
type Consumer struct {
	Type     string `json:"type"`         // Subscriptions, AADTenants, Community
	ID       string `json:"id,omitempty"` // of the subscription or tenant
	Machines int    `json:"virtualMachines" arm:"always"`
	Disks    int    `json:"disks" arm:"always"`
	Versions int    `json:"imageVersions" arm:"always"`
	More     bool   `json:"more,omitempty"` // there are more than were counted
}

func (c Consumer) text() string {
	who := strings.TrimSpace(fmt.Sprintf("%s %s", map[string]string{catalog.Subscriptions: "subscription", catalog.Tenants: "tenant", catalog.Community: "the community"}[c.Type], c.ID))
	return fmt.Sprintf("%s has %d virtual machines, %d disks and %d image versions made from it", who, c.Machines, c.Disks, c.Versions)
}

// forecast is the answer of shareWhatIf.
type forecast struct {
	Operation string                 `json:"operationType"`
	Mode      string                 `json:"permissions"` // as it would be
	Groups    []catalog.SharingGroup `json:"groups"`
	Breaks    []Consumer             `json:"breaks" arm:"always"`
	Refused   bool                   `json:"wouldBeRefused" arm:"always"`
	Means     string                 `json:"means"`
}

// whatIf tells what the same body would do as the action share, and changes nothing.
func (s *Sharing) whatIf(_ context.Context, a *control.Act[catalog.Gallery]) error {
	u, next, err := s.next(a)
	if err != nil {
		return err
	}
	broken, err := s.broken(a.Tx, &a.Old.Properties, next)
	if err != nil {
		return err
	}
	f := forecast{Operation: u.Operation, Mode: next.Mode(), Groups: next.Groups, Breaks: broken, Refused: len(broken) > 0 && next.SharingProfile.WhileUsed == "Refuse",
		Means: "Nothing that exists was made from the gallery by those who would lose it."}
	if len(broken) > 0 {
		f.Means = "What exists goes on running. Machines, disks and image versions can no longer be made from the gallery by these consumers, nor what they have be made anew."
	} else {
		f.Breaks = []Consumer{}
	}
	a.Output = f
	return nil
}

// maxUses bounds how many users of one kind are counted; the bound is ours.
const maxUses = 10000

// users are the kinds of what is made from a gallery's versions.
var users = [...]string{"microsoft.compute/virtualmachines", "microsoft.compute/disks", "microsoft.compute/galleries/images/versions"}

// broken lists the consumers that use the gallery and would no longer see it.
func (s *Sharing) broken(tx store.Tx, now, next *catalog.Gallery) ([]Consumer, error) {
	name := now.PublicName()
	if now.Mode() == catalog.InGroups && now.Identifier != nil {
		name = now.Identifier.UniqueName
	}
	if name == "" || now.Mode() == catalog.Community && next.PublicName() != "" {
		return nil, nil
	}
	found := map[string]*Consumer{}
	for n, kind := range users {
		docs, err := tx.List(store.Query{Kind: kind, All: []string{catalog.UseTerm(name)}, Limit: maxUses + 1})
		if err != nil {
			return nil, err
		}
		for i, d := range docs {
			who, err := consumer(tx, now, next, d.Key)
			if err != nil {
				return nil, err
			}
			if who == nil {
				continue
			}
			c := found[who.Type+who.ID]
			if c == nil {
				c, found[who.Type+who.ID] = who, who
			}
			c.count(n)
			c.More = c.More || i == maxUses
		}
	}
	var list []Consumer
	for _, c := range found {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Consumer) int { return strings.Compare(a.Type+a.ID, b.Type+b.ID) })
	return list, nil
}

func (c *Consumer) count(kind int) {
	*[...]*int{&c.Machines, &c.Disks, &c.Versions}[kind]++
}

// consumer says for whom a resource sees the gallery now, if it would not after the change.
func consumer(tx store.Tx, now, next *catalog.Gallery, key string) (*Consumer, error) {
	id, err := arm.ParseID(key)
	if err != nil {
		return nil, err
	}
	if now.Mode() == catalog.Community {
		return &Consumer{Type: catalog.Community}, nil
	}
	tenant, err := control.TenantOf(tx, id.Subscription)
	if err != nil {
		return nil, err
	}
	sub, tenant := strings.ToLower(id.Subscription), strings.ToLower(tenant)
	switch {
	case next.SharedWith(catalog.Subscriptions, sub) || next.SharedWith(catalog.Tenants, tenant):
		return nil, nil
	case now.SharedWith(catalog.Subscriptions, sub):
		return &Consumer{Type: catalog.Subscriptions, ID: sub}, nil
	case now.SharedWith(catalog.Tenants, tenant):
		return &Consumer{Type: catalog.Tenants, ID: tenant}, nil
	}
	return nil, nil // it lost sight of it earlier
}
