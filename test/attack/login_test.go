package attack

import (
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// prove asks for a token of an application with a client assertion.
func (w *world) prove(app, raw string) outcome {
	w.t.Helper()
	return w.tokenAt(w.one.TenantID, url.Values{"grant_type": {"client_credentials"}, "client_id": {app}, "scope": {"https://management.azure.com/.default"},
		"client_assertion_type": {jwtBearer}, "client_assertion": {raw}})
}

// asserted is a row with an assertion of worker's, signed with worker's key; members of the claims in turns.
func asserted(name, sent, code string, claims ...any) row {
	return row{name, sent, 401, code, func(w *world) outcome {
		c := with(assertion(w.worker.AppID, w.one.TenantID), claims...)
		return w.prove(w.worker.AppID, sign(w.t, jose.PS256, w.key.key, object{"x5t#S256": w.key.thumbprint()}, c))
	}}
}

func assertionRows() []row {
	now := time.Now()
	crafted := func(name, sent, code string, make func(w *world, claims object) string) row {
		return row{name, sent, 401, code, func(w *world) outcome {
			return w.prove(w.worker.AppID, make(w, assertion(w.worker.AppID, w.one.TenantID)))
		}}
	}
	return []row{
		{"replayed assertion", "a good client assertion for the second time", 401, "AADSTS50013", func(w *world) outcome {
			raw := sign(w.t, jose.PS256, w.key.key, object{"x5t#S256": w.key.thumbprint()}, assertion(w.worker.AppID, w.one.TenantID))
			w.must(w.prove(w.worker.AppID, raw))
			return w.prove(w.worker.AppID, raw)
		}},
		asserted("assertion for another audience", "aud https://evil.example/token", "AADSTS700023", "aud", "https://evil.example/token"),
		asserted("assertion of another issuer", "iss and sub of another application", "AADSTS700021", "iss", uuid.NewString(), "sub", uuid.NewString()),
		asserted("expired assertion", "exp an hour ago", "AADSTS700024", "exp", now.Add(-time.Hour).Unix()),
		asserted("assertion that is not yet valid", "nbf in an hour", "AADSTS700024", "nbf", now.Add(time.Hour).Unix(), "exp", now.Add(2*time.Hour).Unix()),
		asserted("assertion for ever", "exp in a year", "AADSTS700024", "exp", now.AddDate(1, 0, 0).Unix()),
		crafted("assertion with alg none", "no signature", "AADSTS50027", func(w *world, c object) string {
			return plain(w.t, object{"alg": "none", "x5t#S256": w.key.thumbprint()}, c, "")
		}),
		crafted("assertion by HS256", "HMAC keyed with the registered certificate", "AADSTS50027", func(w *world, c object) string {
			return sign(w.t, jose.HS256, w.key.der, object{"x5t#S256": w.key.thumbprint()}, c)
		}),
		crafted("assertion by a foreign key", "own key, thumbprint of the registered certificate", "AADSTS700027", func(w *world, c object) string {
			return sign(w.t, jose.PS256, newSigner(w.t).key, object{"x5t#S256": w.key.thumbprint()}, c)
		}),
		crafted("assertion that brings its key", "jku, x5u and x5c of the attacker", "AADSTS700027", func(w *world, c object) string {
			s := newSigner(w.t)
			return sign(w.t, jose.PS256, s.key, object{"x5t#S256": s.thumbprint(), "jku": "https://" + w.trap + "/k", "x5u": "https://" + w.trap + "/c", "x5c": []string{base64.StdEncoding.EncodeToString(s.der)}}, c)
		}),
		{"wrong secret", "client_secret invented", 401, "AADSTS7000215", func(w *world) outcome {
			return w.secret(w.one.TenantID, w.worker.AppID, "wrong")
		}},
		{"unknown application", "client_id invented", 400, "AADSTS700016", func(w *world) outcome {
			return w.secret(w.one.TenantID, uuid.NewString(), "wrong")
		}},
		{"single-tenant application abroad", "worker's good secret at fabrikam", 400, "AADSTS700016", func(w *world) outcome {
			return w.secret(w.two.TenantID, w.worker.AppID, w.worker.Password)
		}},
		{"application without a principal", "shared's good secret at fabrikam, which never consented", 400, "AADSTS7000229", func(w *world) outcome {
			return w.secret(w.two.TenantID, w.shared.AppID, w.shared.Password)
		}},
		{"unknown tenant", "a token endpoint of no tenant", 400, "AADSTS90002", func(w *world) outcome {
			return w.secret(uuid.NewString(), w.worker.AppID, w.worker.Password)
		}},
		{"parameter twice", "client_id twice in one form", 400, "AADSTS9002313", func(w *world) outcome {
			got, _ := w.send("POST", "https://login.microsoftonline.com/"+w.one.TenantID+"/oauth2/v2.0/token", "grant_type=client_credentials&client_id=a&client_id=b",
				"Content-Type", "application/x-www-form-urlencoded")
			return got
		}},
		{"secret in the query", "a good secret in the address, an empty form", 400, "AADSTS900144", func(w *world) outcome {
			q := url.Values{"grant_type": {"client_credentials"}, "client_id": {w.worker.AppID}, "client_secret": {w.worker.Password}, "scope": {"https://management.azure.com/.default"}}
			got, _ := w.send("POST", "https://login.microsoftonline.com/"+w.one.TenantID+"/oauth2/v2.0/token?"+q.Encode(), "", "Content-Type", "application/x-www-form-urlencoded")
			return got
		}},
	}
}

func (w *world) secret(tenant, app, secret string) outcome {
	w.t.Helper()
	return w.tokenAt(tenant, url.Values{"grant_type": {"client_credentials"}, "client_id": {app}, "client_secret": {secret}, "scope": {"https://management.azure.com/.default"}})
}

// federatedRows register an issuer that lies inside the host's own network and present a token of it: nobody may be called.
func federatedRows() []row {
	issuers := []struct{ name, host string }{
		{"loopback", "{trap}"}, {"an allowed name that leads inside", "localhost:{port}"}, {"decimal", "2130706433:{port}"}, {"hexadecimal", "0x7f000001:{port}"},
		{"octal", "0177.0.0.1:{port}"}, {"short", "127.1:{port}"}, {"IPv6", "[::1]:{port}"}, {"IPv4 in IPv6", "[::ffff:127.0.0.1]:{port}"},
		{"zero", "0.0.0.0:{port}"}, {"metadata service", "169.254.169.254"}, {"wire server", "168.63.129.16"},
		{"allowed host's sibling", "issuer.attack.example.evil.example"}, {"another port of an allowed host", "issuer.attack.example:{port}"},
	}
	var rows []row
	for _, i := range issuers {
		rows = append(rows, row{"SSRF by a federated issuer: " + i.name, "a token of the issuer https://" + i.host, 400, "AADSTS50166", func(w *world) outcome {
			port := w.trap[strings.LastIndex(w.trap, ":")+1:]
			issuer := "https://" + strings.NewReplacer("{trap}", w.trap, "{port}", port).Replace(i.host)
			got := w.federated(issuer)
			// Only the issuers that the operator allowed get as far as the fetcher, which judges the address.
			if reached := strings.Contains(got.body, "could not be read"); reached != strings.HasPrefix(i.host, "localhost:") {
				got.code = "refused for another reason"
			}
			return got
		}})
	}
	return append(rows,
		row{"federated token of nobody's issuer", "a token of an issuer that the application does not name", 400, "AADSTS70021", func(w *world) outcome {
			return w.prove(w.both.AppID, sign(w.t, jose.RS256, w.key.key, object{"kid": "a"}, object{"iss": "https://evil.example", "sub": "s", "aud": "api://AzureADTokenExchange", "exp": time.Now().Add(time.Hour).Unix()}))
		}},
		row{"federated credential by plain http", "an issuer http://… registered over Graph", 400, "Request_BadRequest", func(w *world) outcome {
			return w.graph("POST", "/applications(appId='"+w.both.AppID+"')/federatedIdentityCredentials", `{"name":"plain","issuer":"http://`+w.trap+`","subject":"s","audiences":["api://AzureADTokenExchange"]}`, w.graphOf(""))
		}})
}

func (w *world) federated(issuer string) outcome {
	w.t.Helper()
	path, graph := "/applications(appId='"+w.both.AppID+"')/federatedIdentityCredentials", w.graphOf("")
	made := w.graph("POST", path, `{"name":"attack","issuer":"`+issuer+`","subject":"s","audiences":["api://AzureADTokenExchange"]}`, graph)
	w.must(made)
	defer func() { w.must(w.graph("DELETE", path+"/attack", "", graph)) }()
	claims := object{"iss": issuer, "sub": "s", "aud": "api://AzureADTokenExchange", "exp": time.Now().Add(time.Hour).Unix()}
	return w.prove(w.both.AppID, sign(w.t, jose.RS256, w.key.key, object{"kid": "a"}, claims))
}

func pageRows() []row {
	open := func(name, sent, code string, address func(w *world) string) row {
		return row{name, sent, 400, code, func(w *world) outcome { got, _ := w.send("GET", address(w), ""); return got }}
	}
	redirect := func(name, to string) row {
		return open("open redirect: "+name, "redirect_uri="+to, "AADSTS50011", func(w *world) string { return authorize(w.one.TenantID, w.worker.AppID, to) })
	}
	consent := func(name, sent string, forge func(w *world, b browser, address, token string) (outcome, string)) row {
		return row{"CSRF on consent: " + name, sent, 403, "page: AADSTS90023", func(w *world) outcome {
			b, address := w.browser(), authorize(w.two.TenantID, w.shared.AppID, callback)
			b.enter(address, w.admin)
			_, token := b.open(address)
			got, _ := forge(w, b, address, token)
			return got
		}}
	}
	accept := func(token string) url.Values { return url.Values{"act": {"accept"}, "csrf": {token}} }
	return []row{
		redirect("another host", "https://evil.example/callback"),
		redirect("suffix of the host", "https://app.contoso.example.evil.example/callback"),
		redirect("user information", "https://app.contoso.example@evil.example/callback"),
		redirect("deeper path", callback+"/../evil"),
		redirect("another case", "https://app.contoso.example/Callback"),
		redirect("query added", callback+"?to=https://evil.example"),
		redirect("fragment added", callback+"#evil"),
		redirect("plain http", "http://app.contoso.example/callback"),
		redirect("script", "javascript:alert(1)"),
		redirect("backslash", `https://app.contoso.example\@evil.example/callback`),
		open("single-tenant application at /common", "/common/oauth2/v2.0/authorize", "AADSTS50194", func(w *world) string { return authorize("common", w.worker.AppID, callback) }),
		open("single-tenant application abroad", "consent to worker at fabrikam", "AADSTS700016", func(w *world) string { return authorize(w.two.TenantID, w.worker.AppID, callback) }),
		{"PKCE plain", "code_challenge_method=plain", 303, "AADSTS50147", func(w *world) outcome {
			got, h := w.send("GET", authorize(w.one.TenantID, azCLI, loopback, "code_challenge_method", "plain"), "")
			return outcome{got.status, aadsts.FindString(h.Get("Location")), got.body}
		}},
		{"no PKCE", "a native client without code_challenge", 303, "AADSTS9002325", func(w *world) outcome {
			got, h := w.send("GET", authorize(w.one.TenantID, azCLI, loopback, "code_challenge", ""), "")
			return outcome{got.status, aadsts.FindString(h.Get("Location")), got.body}
		}},
		consent("no token", "accept without the form's token", func(_ *world, b browser, address, _ string) (outcome, string) { return b.post(address, accept("")) }),
		{"CSRF on consent: by a program", "accept without a token and without Accept: text/html", 403, "AADSTS90023", func(w *world) outcome {
			b, address := w.browser(), authorize(w.two.TenantID, w.shared.AppID, callback)
			b.enter(address, w.admin)
			got, h := w.sendBy(b.http, "POST", address, accept("").Encode(), "Content-Type", "application/x-www-form-urlencoded")
			if h.Get("Location") != "" {
				got.code = "redirected"
			}
			return got
		}},
		consent("another site's Origin", "the right token, Origin https://evil.example", func(_ *world, b browser, address, token string) (outcome, string) {
			return b.post(address, accept(token), "Origin", "https://evil.example")
		}),
		consent("Origin null", "the right token, Origin null", func(_ *world, b browser, address, token string) (outcome, string) {
			return b.post(address, accept(token), "Origin", "null")
		}),
		consent("cross-site by the browser's word", "the right token, Sec-Fetch-Site cross-site", func(_ *world, b browser, address, token string) (outcome, string) {
			return b.post(address, accept(token), "Sec-Fetch-Site", "cross-site")
		}),
		consent("token of another form", "the token of a form for another application", func(w *world, b browser, address, _ string) (outcome, string) {
			_, other := b.open(authorize(w.two.TenantID, w.both.AppID, callback, "prompt", "consent"))
			return b.post(address, accept(other))
		}),
		consent("token of another browser", "the token that the attacker's own browser got", func(w *world, b browser, address, _ string) (outcome, string) {
			_, other := w.browser().open(address)
			return b.post(address, accept(other))
		}),
		{"nobody consented", "shared's secret at fabrikam after all forged forms", 400, "AADSTS7000229", func(w *world) outcome {
			return w.secret(w.two.TenantID, w.shared.AppID, w.shared.Password)
		}},
		{"consent by who is no administrator", "alice accepts an application for contoso", 403, "page: AADSTS90094", func(w *world) outcome {
			b, address := w.browser(), authorize(w.one.TenantID, w.foreign(), callback)
			b.enter(address, w.alice)
			_, token := b.open(authorize(w.one.TenantID, azCLI, loopback, "prompt", "login"))
			if got, _ := b.open(address); got.status != 403 {
				return got
			}
			got, _ := b.post(address, accept(token))
			if got.code == "page: AADSTS90023" { // she is shown no form, so that she has no token of it
				got, _ = b.open(address)
			}
			return got
		}},
	}
}

// bruteRows guess from an address of their own, so that the others' limits stay whole.
func bruteRows() []row {
	guess := func(w *world, times int, once func() outcome) (got outcome) {
		for range times {
			if got = once(); got.status == 429 || got.code == "AADSTS50053" {
				return got
			}
		}
		return got
	}
	wrong := func(w *world, source string) outcome {
		return w.tokenBy(w.from(source), w.one.TenantID, url.Values{"grant_type": {"client_credentials"}, "client_id": {w.reader.AppID}, "client_secret": {"wrong"},
			"scope": {"https://management.azure.com/.default"}})
	}
	return []row{
		{"guessing a password", "wrong passwords for alice from one address", 200, "AADSTS50053", func(w *world) outcome {
			b := w.browser()
			jar := b.http.Jar
			b.http = w.from("127.0.0.9")
			b.http.Jar = jar
			address := authorize(w.one.TenantID, azCLI, loopback)
			return guess(w, 15, func() outcome {
				_, token := b.open(address)
				got, _ := b.post(address, url.Values{"csrf": {token}, "act": {"signin"}, "username": {w.alice.Name}, "password": {"wrong"}})
				if got.code = aadsts.FindString(got.body); strings.Contains(got.body, "The account is locked") {
					got.code = "AADSTS50053"
				}
				return got
			})
		}},
		{"guessing a secret", "wrong secrets of reader from one address", 429, "AADSTS90055", func(w *world) outcome {
			return guess(w, 200, func() outcome { return wrong(w, "127.0.0.9") })
		}},
		{"the right secret after guessing, from elsewhere", "reader's good secret from another address works; a wrong one does not", 401, "AADSTS7000215", func(w *world) outcome {
			w.must(w.secret(w.one.TenantID, w.reader.AppID, w.reader.Password))
			return wrong(w, "127.0.0.1")
		}},
		{"guessing a user code", "invented user codes at /deviceauth from one address", 429, "page: AADSTS90055", func(w *world) outcome {
			b, address := w.browser(), "https://login.microsoftonline.com/common/oauth2/deviceauth"
			jar := b.http.Jar
			b.http = w.from("127.0.0.9")
			b.http.Jar = jar
			return guess(w, 60, func() outcome {
				_, token := b.open(address)
				got, _ := b.post(address, url.Values{"csrf": {token}, "act": {"code"}, "code": {"BCDFGHJKL"}})
				return got
			})
		}},
		{"guessing a device code", "invented device codes from one address", 429, "AADSTS90055", func(w *world) outcome {
			c := w.from("127.0.0.9")
			return guess(w, 60, func() outcome {
				return w.tokenBy(c, w.one.TenantID, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {azCLI}, "device_code": {uuid.NewString()}})
			})
		}},
	}
}
