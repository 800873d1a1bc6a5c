package consent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/directory"
	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// The types of consent.
const (
	ForAll = "AllPrincipals" // an administrator's, for everybody in the tenant
	ForOne = "Principal"     // for one person
)

// Limits: the first two keep a token small, the third is Entra's number of app role assignments of one principal.
const (
	maxScopes   = 200
	maxScope    = 120
	maxPerParty = 1500
)

// Consents answers from the store. It may be used from many goroutines.
type Consents struct{ dir *directory.Directory }

// New returns the consents of a directory.
func New(d *directory.Directory) *Consents { return &Consents{d} }

// Grant is an oauth2PermissionGrant: an application may act at a resource for people.
type Grant struct {
	ID          string `json:"id"`
	TenantID    string `json:"tenantId"`
	ClientID    string `json:"clientId"` // object ID of the application's service principal
	ConsentType string `json:"consentType"`
	PrincipalID string `json:"principalId,omitempty"` // of the person; empty for everybody
	ResourceID  string `json:"resourceId"`            // object ID of the resource's service principal
	Scope       string `json:"scope"`                 // names, separated by spaces
}

// grantKey holds all that makes a grant what it is, so that there is one of each.
func grantKey(tenantID, clientID, resourceID, principalID string) string {
	if principalID == "" {
		principalID = "all"
	}
	return "directory/permissiongrants/" + tenantID + "/" + clientID + "/" + resourceID + "/" + principalID
}

// nameOf makes an opaque ID of GUIDs, in the form of Entra's.
func nameOf(guids ...string) string {
	var raw []byte
	for _, g := range guids {
		if id, err := uuid.Parse(g); err == nil {
			raw = append(raw, id[:]...)
		}
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func guidsOf(name string, least, most int) ([]string, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(name)
	if err != nil || len(raw)%16 != 0 || len(raw) < 16*least || len(raw) > 16*most {
		return nil, false
	}
	var out []string
	for part := range slices.Chunk(raw, 16) {
		out = append(out, uuid.UUID(part).String())
	}
	return out, true
}

// ErrNotFound says that there is no such grant or assignment.
var ErrNotFound = errors.New("no such permission grant or app role assignment")

// Create makes a grant in the tenant that it names. ErrExists: there is one of this client, resource and person.
func (c *Consents) Create(tx store.Tx, g Grant) (Grant, error) {
	client, err := c.Principal(tx, g.TenantID, g.ClientID)
	if err != nil {
		return Grant{}, err
	}
	resource, err := c.Principal(tx, g.TenantID, g.ResourceID)
	if err != nil {
		return Grant{}, err
	}
	if client.Builtin {
		return Grant{}, fmt.Errorf("Service principal %s is Microsoft's own and is no client here: %w", client.ObjectID, rule.ErrInvalid)
	}
	g.ClientID, g.ResourceID = client.ObjectID, resource.ObjectID
	switch {
	case g.ConsentType == ForAll && g.PrincipalID == "":
	case g.ConsentType == ForOne && g.PrincipalID != "":
		u, err := c.dir.UserIn(tx, g.TenantID, g.PrincipalID)
		if err != nil {
			return Grant{}, err
		}
		g.PrincipalID = u.ObjectID
	default:
		return Grant{}, fmt.Errorf("consentType is '%s' with a principalId, or '%s' without one: %w", ForOne, ForAll, rule.ErrInvalid)
	}
	if g.Scope, err = cleanScope(g.Scope); err != nil {
		return Grant{}, err
	}
	if err := room(tx, directory.KindPermissionGrant, "directory/permissiongrants/"+g.TenantID+"/"+g.ClientID+"/"); err != nil {
		return Grant{}, err
	}
	key := grantKey(g.TenantID, g.ClientID, g.ResourceID, g.PrincipalID)
	if free, err := record.Absent(tx, key); err != nil {
		return Grant{}, err
	} else if !free {
		return Grant{}, fmt.Errorf("Permission entry already exists: %w", rule.ErrExists)
	}
	if g.ID = nameOf(g.ClientID, g.ResourceID); g.PrincipalID != "" {
		g.ID = nameOf(g.ClientID, g.ResourceID, g.PrincipalID)
	}
	doc := store.Document{Key: key, Kind: directory.KindPermissionGrant, Terms: []string{"tenant:" + g.TenantID,
		directory.PartyTerm(g.TenantID, g.ClientID), directory.PartyTerm(g.TenantID, g.ResourceID)}}
	if g.PrincipalID != "" {
		doc.Terms = append(doc.Terms, directory.PartyTerm(g.TenantID, g.PrincipalID))
	}
	return g, record.Write(tx, doc, g)
}

// room refuses what would be one too many of a principal's: of the documents whose keys begin alike.
func room(tx store.Tx, kind, prefix string) error {
	have, err := tx.List(store.Query{Kind: kind, Prefix: prefix, Limit: maxPerParty})
	if err != nil {
		return fmt.Errorf("consent: count: %w", err)
	}
	if len(have) >= maxPerParty {
		return fmt.Errorf("A principal has at most %d permission grants and as many app role assignments: %w", maxPerParty, directory.ErrQuota)
	}
	return nil
}

// cleanScope takes names of permissions and gives each once.
func cleanScope(scope string) (string, error) {
	var out []string
	for _, s := range strings.Fields(scope) {
		if len(s) > maxScope || strings.ContainsFunc(s, rule.IsSpaceOrControl) || !store.Storable(s) {
			return "", fmt.Errorf("scope %.64q is not the name of a permission: %w", s, rule.ErrInvalid)
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) > maxScopes {
		return "", fmt.Errorf("a grant has at most %d scopes: %w", maxScopes, rule.ErrInvalid)
	}
	return strings.Join(out, " "), nil
}

// Grant returns a grant by its ID, or ErrNotFound.
func (c *Consents) Grant(tx store.Tx, tenantID, id string) (Grant, error) {
	g, _, err := c.grant(tx, tenantID, id)
	return g, err
}

func (c *Consents) grant(tx store.Tx, tenantID, id string) (Grant, store.Document, error) {
	missing := fmt.Errorf("grant %.100q: %w", id, ErrNotFound)
	parts, ok := guidsOf(id, 2, 3)
	if !ok {
		return Grant{}, store.Document{}, missing
	}
	return record.Read[Grant](tx, grantKey(rule.CanonicalID(tenantID), parts[0], parts[1], strings.Join(parts[2:], "")), missing)
}

// SetScope replaces what a grant allows.
func (c *Consents) SetScope(tx store.Tx, tenantID, id, scope string) error {
	g, doc, err := c.grant(tx, tenantID, id)
	if err != nil {
		return err
	}
	if g.Scope, err = cleanScope(scope); err != nil {
		return err
	}
	return record.Write(tx, doc, g)
}

// Revoke ends a grant. Tokens that were made by it lose their rights over Graph at once and are not renewed.
func (c *Consents) Revoke(tx store.Tx, tenantID, id string) error {
	_, doc, err := c.grant(tx, tenantID, id)
	if err != nil {
		return err
	}
	return tx.Delete(doc.Key, doc.ETag)
}

// Grants lists the grants of a tenant; of one party (client, resource or person) unless that is empty.
func (c *Consents) Grants(tx store.Tx, tenantID, party string) ([]Grant, error) {
	return record.List[Grant](tx, byParty(directory.KindPermissionGrant, tenantID, party))
}

func byParty(kind, tenantID, party string) store.Query {
	term := "tenant:" + rule.CanonicalID(tenantID)
	if party != "" {
		term = directory.PartyTerm(rule.CanonicalID(tenantID), rule.CanonicalID(party))
	}
	return store.Query{Kind: kind, All: []string{term}}
}

// Scopes lists what a client may do at a resource for a person: what everybody's grant says and the person's own.
func (c *Consents) Scopes(tx store.Tx, tenantID, clientID, resourceID, personID string) ([]string, error) {
	var out []string
	for _, who := range []string{"", personID} {
		g, _, err := record.Read[Grant](tx, grantKey(tenantID, clientID, resourceID, who), ErrNotFound)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		for _, s := range strings.Fields(g.Scope) {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// Allow adds scopes to everybody's grant of a client at a resource, which it makes when there is none.
func (c *Consents) Allow(tx store.Tx, tenantID, clientID, resourceID string, scopes []string) error {
	if len(scopes) == 0 {
		return nil
	}
	g, _, err := c.grant(tx, tenantID, nameOf(clientID, resourceID))
	if errors.Is(err, ErrNotFound) {
		_, err = c.Create(tx, Grant{TenantID: tenantID, ClientID: clientID, ResourceID: resourceID, ConsentType: ForAll, Scope: strings.Join(scopes, " ")})
		return err
	}
	if err != nil {
		return err
	}
	return c.SetScope(tx, tenantID, g.ID, g.Scope+" "+strings.Join(scopes, " "))
}
