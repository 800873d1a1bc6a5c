package attack

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"vitrine/internal/client"
)

const invalid = "InvalidAuthenticationToken"

// forged is a row whose token is made of a good one's header and claims.
func forged(name, sent string, make func(w *world, header, claims object) string) row {
	return row{name, sent, 401, invalid, func(w *world) outcome {
		header, claims := parts(w.t, w.token(w.one.TenantID, ""))
		return w.arm("GET", w.sub(), "", make(w, header, claims))
	}}
}

// resigned is one whose token the attacker signed.
func resigned(name, sent string, header func(w *world, good object) object) row {
	return forged(name, sent, func(w *world, good, claims object) string {
		return sign(w.t, jose.RS256, w.key.key, header(w, good), claims)
	})
}

func tokenRows() []row {
	return []row{
		{"no token", "GET a subscription without Authorization", 401, "AuthenticationFailed", func(w *world) outcome { return w.arm("GET", w.sub(), "", "") }},
		{"another scheme", "Authorization: Basic", 401, invalid, func(w *world) outcome {
			got, _ := w.send("GET", "https://management.azure.com"+w.sub()+"?api-version="+version, "", "Authorization", "Basic YTpi")
			return got
		}},
		{"two primary tokens", "the header Authorization twice, both good", 401, invalid, func(w *world) outcome {
			good := "Bearer " + w.token(w.one.TenantID, "")
			got, _ := w.send("GET", "https://management.azure.com"+w.sub()+"?api-version="+version, "", "Authorization", good, "Authorization", good)
			return got
		}},
		{"token in the query", "?access_token= a good one, no header", 401, "AuthenticationFailed", func(w *world) outcome {
			return w.arm("GET", w.sub()+"?access_token="+w.token(w.one.TenantID, ""), "", "")
		}},
		forged("alg none", "a good token's claims, alg none, no signature", func(w *world, h, c object) string {
			return plain(w.t, with(h, "alg", "none"), c, "")
		}),
		forged("alg NoNe with the old signature", "alg NoNe, the signature of a good token", func(w *world, h, c object) string {
			good := w.token(w.one.TenantID, "")
			return plain(w.t, with(h, "alg", "NoNe"), c, good[strings.LastIndex(good, ".")+1:])
		}),
		forged("HS256 with the public key as PEM", "HMAC keyed with what /discovery/keys publishes", func(w *world, h, c object) string {
			der, err := x509.MarshalPKIXPublicKey(w.public(h["kid"].(string)))
			if err != nil {
				w.t.Fatal(err)
			}
			return sign(w.t, jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), object{"kid": h["kid"]}, c)
		}),
		forged("HS256 with the public modulus", "HMAC keyed with the modulus n", func(w *world, h, c object) string {
			return sign(w.t, jose.HS256, w.public(h["kid"].(string)).N.Bytes(), object{"kid": h["kid"]}, c)
		}),
		resigned("unknown kid", "own RSA key, kid invented", func(*world, object) object { return object{"kid": "attack"} }),
		resigned("foreign kid", "own RSA key, kid of the server's key", func(_ *world, h object) object { return object{"kid": h["kid"]} }),
		resigned("no kid", "own RSA key, no kid", func(*world, object) object { return nil }),
		resigned("kid with a path", "kid ../../../../dev/null", func(*world, object) object { return object{"kid": "../../../../dev/null"} }),
		resigned("jku", "own key, jku names the attacker's key set", func(w *world, h object) object {
			return object{"kid": h["kid"], "jku": "https://" + w.trap + "/keys"}
		}),
		resigned("x5u", "own key, x5u names the attacker's certificate", func(w *world, h object) object {
			return object{"kid": h["kid"], "x5u": "https://" + w.trap + "/cert.pem"}
		}),
		resigned("x5c", "own key, x5c brings the attacker's certificate", func(w *world, h object) object {
			return object{"kid": h["kid"], "x5c": []string{base64.StdEncoding.EncodeToString(w.key.der)}}
		}),
		resigned("jwk", "own key, the header brings the public key", func(w *world, h object) object {
			return object{"jwk": jose.JSONWebKey{Key: w.key.key.Public(), KeyID: "attack"}}
		}),
		forged("changed payload", "oid of another principal, old signature", func(w *world, h, c object) string {
			good := w.token(w.one.TenantID, "")
			return plain(w.t, h, with(c, "oid", w.worker.ObjectID), good[strings.LastIndex(good, ".")+1:])
		}),
		forged("no signature", "a good token cut behind the payload", func(w *world, h, c object) string { return plain(w.t, h, c, "") }),
		forged("changed signature", "one letter of the signature changed", func(w *world, _, _ object) string {
			good := w.token(w.one.TenantID, "")
			i := strings.LastIndex(good, ".")
			return good[:i+1] + swapped(good[i+1:])
		}),
		forged("five parts", "an encrypted token's form", func(w *world, h, c object) string { return plain(w.t, h, c, "YQ.YQ.YQ") }),
		forged("unknown crit", "crit names an extension", func(w *world, h, c object) string {
			good := w.token(w.one.TenantID, "")
			return plain(w.t, with(h, "crit", []string{"attack"}), c, good[strings.LastIndex(good, ".")+1:])
		}),
		{"token of tenant B at A's subscription", "fabrikam's administrator reads contoso's group", 401, "InvalidAuthenticationTokenTenant", func(w *world) outcome {
			return w.arm("GET", w.group, "", w.token(w.two.TenantID, ""))
		}},
		{"wrong audience", "a good token for Graph at Resource Manager", 401, "InvalidAuthenticationTokenAudience", func(w *world) outcome {
			return w.arm("GET", w.sub(), "", w.graphOf(""))
		}},
		{"wrong audience at Graph", "a good token for Resource Manager at Graph", 401, invalid, func(w *world) outcome {
			return w.graph("GET", "/users", "", w.token(w.one.TenantID, ""))
		}},
		{"storage token", "a good token for Storage at Resource Manager", 401, "InvalidAuthenticationTokenAudience", func(w *world) outcome {
			return w.arm("GET", w.sub(), "", w.tokenFor(w.one.TenantID, "", "https://storage.azure.com"))
		}},
		{"ID token as access token", "the id_token of a person's sign-in", 401, invalid, func(w *world) outcome {
			return w.arm("GET", w.sub(), "", w.user.IDToken)
		}},
		{"refresh token as access token", "the refresh_token of a person's sign-in", 401, invalid, func(w *world) outcome {
			return w.arm("GET", w.sub(), "", w.user.Refresh)
		}},
		{"expired", "a token that lived one second", 401, "ExpiredAuthenticationToken", func(w *world) outcome {
			return w.arm("GET", w.sub(), "", w.expired(client.TokenRequest{Tenant: w.one.TenantID}))
		}},
	}
}

// expired is a token that lived a second, which is over.
func (w *world) expired(in client.TokenRequest) string {
	w.t.Helper()
	in.Lifetime = 1
	token := w.tokenOf(in)
	_, claims := parts(w.t, token)
	<-time.After(time.Until(time.Unix(int64(claims["exp"].(float64)), 0).Add(50 * time.Millisecond)))
	return token
}

// public reads the published key that signs tokens.
func (w *world) public(kid string) *rsa.PublicKey {
	w.t.Helper()
	got, _ := w.send("GET", "https://login.microsoftonline.com/common/discovery/keys", "")
	var set struct {
		Keys []struct{ Kid, N, E string }
	}
	if err := json.Unmarshal([]byte(got.body), &set); err != nil {
		w.t.Fatal(err)
	}
	for _, k := range set.Keys {
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if k.Kid == kid && err == nil {
			return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
		}
	}
	w.t.Fatalf("no key %s in %.300s", kid, got.body)
	return nil
}

func auxiliaryRows() []row {
	aux := func(name, sent, code string, tokens func(w *world) []string) row {
		return row{name, sent, 401, code, func(w *world) outcome {
			all := tokens(w)
			return w.arm("GET", w.group, "", all[0], all[1:]...)
		}}
	}
	both := func(w *world, tenant string) string { return w.token(tenant, w.both.AppID) }
	return []row{
		{"auxiliary token alone", "x-ms-authorization-auxiliary without Authorization", 401, "AuthenticationFailed", func(w *world) outcome {
			return w.arm("GET", w.group, "", "", w.token(w.one.TenantID, ""))
		}},
		aux("auxiliary token as primary", "primary of B, auxiliary of A, at A's group", "InvalidAuthenticationTokenTenant", func(w *world) []string {
			return []string{both(w, w.two.TenantID), both(w, w.one.TenantID)}
		}),
		aux("four auxiliary tokens", "one primary, four auxiliary", invalid, func(w *world) []string {
			a, b := both(w, w.one.TenantID), both(w, w.two.TenantID)
			return []string{a, b, b, b, b}
		}),
		aux("auxiliary of another application", "primary of contoso's administrator, auxiliary of fabrikam's", invalid, func(w *world) []string {
			return []string{w.token(w.one.TenantID, ""), w.token(w.two.TenantID, "")}
		}),
		aux("auxiliary of a person", "primary of an application, auxiliary of alice", invalid, func(w *world) []string {
			return []string{w.token(w.one.TenantID, w.worker.AppID), w.user.Access}
		}),
		aux("forged auxiliary", "primary good, auxiliary signed by the attacker", invalid, func(w *world) []string {
			_, claims := parts(w.t, both(w, w.two.TenantID))
			return []string{both(w, w.one.TenantID), sign(w.t, jose.RS256, w.key.key, nil, claims)}
		}),
		aux("auxiliary for another audience", "primary good, auxiliary for Graph", "InvalidAuthenticationTokenAudience", func(w *world) []string {
			return []string{both(w, w.one.TenantID), w.tokenFor(w.two.TenantID, w.both.AppID, "https://graph.microsoft.com")}
		}),
		aux("expired auxiliary", "primary good, auxiliary of one second", "ExpiredAuthenticationToken", func(w *world) []string {
			return []string{both(w, w.one.TenantID), w.expired(client.TokenRequest{Tenant: w.two.TenantID, AppID: w.both.AppID})}
		}),
		aux("huge auxiliary header", "an auxiliary token of 60 KiB", invalid, func(w *world) []string {
			return []string{both(w, w.one.TenantID), strings.Repeat("a", 60<<10)}
		}),
	}
}

// goneRows are tokens of whom the directory no longer knows, or no longer lets in.
func goneRows() []row {
	gone := func(name, sent string, end func(w *world, app client.App)) row {
		return row{name, sent, 401, invalid, func(w *world) outcome {
			var app client.App
			w.do("/v1/applications", client.AppRequest{Name: name, Tenant: "contoso"}, &app)
			token := w.token(w.one.TenantID, app.AppID)
			if got := w.arm("GET", "/subscriptions", "", token); got.status != 200 {
				return got
			}
			end(w, app)
			return w.arm("GET", "/subscriptions", "", token)
		}}
	}
	return []row{
		gone("deleted principal", "token of before its service principal was deleted", func(w *world, app client.App) {
			w.must(w.graph("DELETE", "/servicePrincipals/"+app.ObjectID, "", w.graphOf("")))
		}),
		gone("disabled principal", "token of before accountEnabled became false", func(w *world, app client.App) {
			w.must(w.graph("PATCH", "/servicePrincipals/"+app.ObjectID, `{"accountEnabled":false}`, w.graphOf("")))
		}),
		gone("principal made anew", "token of the first, a second of the same application exists", func(w *world, app client.App) {
			w.must(w.graph("DELETE", "/servicePrincipals/"+app.ObjectID, "", w.graphOf("")))
			w.must(w.graph("POST", "/servicePrincipals", `{"appId":"`+app.AppID+`"}`, w.graphOf("")))
		}),
		{"disabled person", "token of before the user was disabled", 401, invalid, func(w *world) outcome {
			return w.goneUser("bob", "PATCH", `{"accountEnabled":false}`)
		}},
		{"deleted person", "token of before the user was deleted", 401, invalid, func(w *world) outcome {
			return w.goneUser("carol", "DELETE", "")
		}},
	}
}

func (w *world) goneUser(name, method, body string) outcome {
	w.t.Helper()
	var u client.User
	w.do("/v1/users", client.UserRequest{Name: name + "@contoso.onmicrosoft.com", Tenant: "contoso"}, &u)
	token := w.signIn(u, w.one.TenantID).Access
	if got := w.arm("GET", "/subscriptions", "", token); got.status != 200 {
		return got
	}
	w.must(w.graph(method, "/users/"+u.ObjectID, body, w.graphOf("")))
	return w.arm("GET", "/subscriptions", "", token)
}
