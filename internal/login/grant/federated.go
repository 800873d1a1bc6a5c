package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
)

// proveFederated checks a token of another issuer. The application's own records are asked first and the network last, so
// that only issuers that an application trusts and the operator allows are ever fetched from.
func (g *Grants) proveFederated(ctx context.Context, q Request, app directory.Application, a assertion) error {
	if err := matchFederated(q, app, a); err != nil {
		return err
	}
	set, err := g.issuers.keys(ctx, a.Issuer, a.header("kid"))
	if err != nil {
		g.Log.WarnContext(ctx, "federated issuer", "issuer", a.Issuer, "error", err)
		why := "its keys could not be read"
		if errors.Is(err, errNotAllowed) {
			why = "the operator of this server does not allow it (vitrine serve --allow-issuer)"
		}
		return aadsts.Fail(400, "invalid_request", 50166, "Request to External OIDC endpoint failed. [Issuer '%s': %s.]", printable(a.Issuer), why)
	}
	found := set.Key(a.header("kid"))
	if a.header("kid") == "" && len(set.Keys) == 1 {
		found = set.Keys
	}
	for _, k := range found {
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		if _, err := a.signed.Verify(k.Key); err == nil {
			return g.timely(q, a, foreignAhead)
		}
	}
	reason := "The key was not found."
	if len(found) > 0 {
		reason = "The key was found, but use of the key to verify the signature failed."
	}
	return unproved(q, 50013, "Assertion failed signature validation. [Reason - %s, Thumbprint of key used by client: '%s'].",
		reason, printable(a.header("kid")))
}

// matchFederated finds the credential that a token's claims fit, exactly, as Entra compares. The numbers say which claim
// fits none: 700211 the issuer, 700213 the subject, 700212 the audience.
func matchFederated(q Request, app directory.Application, a assertion) error {
	const check = "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. " +
		"https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
	aud := strings.Join(a.Aud, ", ")
	if len(app.Federated) == 0 {
		f := unproved(q, 70021, "No matching federated identity record found for presented assertion. Assertion Issuer: '%s'. Assertion Subject: '%s'. "+
			"Assertion Audience: '%s'. https://docs.microsoft.com/azure/active-directory/develop/workload-identity-federation",
			printable(a.Issuer), printable(a.Sub), printable(aud))
		f.Status, f.OAuth = 400, "invalid_request"
		return f
	}
	issuer := slices.DeleteFunc(slices.Clone(app.Federated), func(f directory.FederatedCredential) bool { return f.Issuer != a.Issuer })
	if len(issuer) == 0 {
		return unproved(q, 700211, "No matching federated identity record found for presented assertion issuer '%s'. %s", printable(a.Issuer), check)
	}
	subject := slices.DeleteFunc(issuer, func(f directory.FederatedCredential) bool { return f.Subject != a.Sub })
	if len(subject) == 0 {
		return unproved(q, 700213, "No matching federated identity record found for presented assertion subject '%s'. %s", printable(a.Sub), check)
	}
	for _, f := range subject {
		for _, one := range a.Aud {
			if f.Matches(a.Issuer, a.Sub, one) {
				return nil
			}
		}
	}
	return unproved(q, 700212, "No matching federated identity record found for presented assertion audience '%s'. %s", printable(aud), check)
}

var errNotAllowed = errors.New("the operator does not allow this issuer")

const (
	keysFresh  = 10 * time.Minute // how long a key set is used without asking again
	keysPause  = 30 * time.Second // the least time between two reads of one issuer, whatever tokens name
	maxIssuers = 100
)

// issuers reads and keeps the key sets of other issuers by OpenID Connect discovery.
type issuers struct {
	cfg Config

	mu   sync.Mutex
	sets map[string]keySet
}

type keySet struct {
	jose.JSONWebKeySet
	read time.Time
	err  error
}

func newIssuers(cfg Config) *issuers { return &issuers{cfg: cfg, sets: map[string]keySet{}} }

// keys returns an issuer's keys, read anew when they are old or lack the key that a token names.
func (i *issuers) keys(ctx context.Context, issuer, kid string) (jose.JSONWebKeySet, error) {
	if strings.HasPrefix(issuer, "https://login.microsoftonline.com/") || strings.HasPrefix(issuer, "https://sts.windows.net/") {
		return jose.JSONWebKeySet{}, errors.New("a token of this server itself cannot be a federated credential here")
	}
	if i.cfg.Fetch == nil || i.cfg.Allowed == nil || !i.cfg.Allowed(issuer) {
		return jose.JSONWebKeySet{}, errNotAllowed
	}
	i.mu.Lock()
	set, known := i.sets[issuer]
	i.mu.Unlock()
	age := i.cfg.Now().Sub(set.read)
	if known && (age < keysPause || age < keysFresh && set.err == nil && len(set.Key(kid)) > 0) {
		return set.JSONWebKeySet, set.err
	}
	set = keySet{read: i.cfg.Now()}
	set.JSONWebKeySet, set.err = i.read(ctx, issuer)
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.sets) >= maxIssuers {
		clear(i.sets)
	}
	i.sets[issuer] = set
	return set.JSONWebKeySet, set.err
}

// read asks the issuer for its document and its keys. The document must name the issuer itself (OpenID Connect Discovery, 4.3).
func (i *issuers) read(ctx context.Context, issuer string) (set jose.JSONWebKeySet, err error) {
	body, err := i.cfg.Fetch(ctx, strings.TrimRight(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return set, err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return set, fmt.Errorf("discovery document: %w", err)
	}
	if doc.Issuer != issuer {
		return set, fmt.Errorf("discovery document is of issuer %.200q", doc.Issuer)
	}
	if body, err = i.cfg.Fetch(ctx, doc.Keys); err != nil {
		return set, err
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return set, fmt.Errorf("key set: %w", err)
	}
	set.Keys = slices.DeleteFunc(set.Keys, func(k jose.JSONWebKey) bool { return !k.Valid() || !k.IsPublic() })
	return set, nil
}
