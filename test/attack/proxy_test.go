package attack

import (
	"crypto/tls"
	"strings"
)

func proxyRows() []row {
	connect := func(target string, status int) row {
		return row{"CONNECT " + target, "CONNECT " + target, status, "refused", func(w *world) outcome {
			return w.raw("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n")
		}}
	}
	return []row{
		connect("evil.example:443", 403), connect("127.0.0.1:22", 403), connect("[::1]:443", 403), connect("169.254.169.254:80", 403),
		connect("2130706433:443", 400), connect("0x7f.1:443", 400), connect("management.azure.com:22", 403),
		connect("management.azure.com.evil.example:443", 403), connect("management.azure.com@evil.example:443", 400),
		connect("management.azure.com%00.evil.example:443", 400), connect("management.azure.com", 400), connect("management.azure.com:0", 400),
		{"proxy to the metadata service", "GET http://169.254.169.254/metadata", 403, "refused", func(w *world) outcome {
			return w.raw("GET http://169.254.169.254/metadata/instance HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
		}},
		{"plain HTTP to a door", "GET http://management.azure.com/", 403, "refused", func(w *world) outcome {
			return w.raw("GET http://management.azure.com/ HTTP/1.1\r\nHost: management.azure.com\r\n\r\n")
		}},
		{"the proxy's own port", "GET / without TLS", 400, "refused", func(w *world) outcome { return w.raw("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") }},
		{"CONNECT with a body", "CONNECT with Content-Length 5", 400, "refused", func(w *world) outcome {
			return w.raw("CONNECT management.azure.com:443 HTTP/1.1\r\nHost: management.azure.com:443\r\nContent-Length: 5\r\n\r\nhello")
		}},
		{"TLS for a foreign name", "CONNECT to Resource Manager, server name evil.example", 0, "TLS refused", func(w *world) outcome {
			return w.inside("management.azure.com:443", "evil.example", "GET / HTTP/1.1\r\n\r\n")
		}},
		{"TLS for another door", "CONNECT to Resource Manager, server name of the token service", 0, "TLS refused", func(w *world) outcome {
			return w.inside("management.azure.com:443", "login.microsoftonline.com", "GET / HTTP/1.1\r\n\r\n")
		}},
		{"old TLS", "TLS 1.1", 0, "TLS refused", func(w *world) outcome {
			c := tls.Client(w.dial(), &tls.Config{ServerName: armHost, RootCAs: w.roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}) //nolint:gosec // this is the attack
			if err := c.HandshakeContext(w.t.Context()); err != nil {
				return outcome{0, "TLS refused", err.Error()}
			}
			return outcome{200, "SUCCESS", ""}
		}},
	}
}

// smuggleRows are requests that a proxy and a server might cut at different places.
func smuggleRows() []row {
	arm := func(name, sent string, status int, code, text string) row {
		return row{"smuggling: " + name, sent, status, code, func(w *world) outcome {
			return w.inside("management.azure.com:443", armHost, strings.ReplaceAll(text, "{token}", w.token(w.one.TenantID, "")))
		}}
	}
	const head, refused = "POST /subscriptions?api-version=2022-09-01 HTTP/1.1\r\nHost: management.azure.com\r\n", "refused"
	const inner = "GET /tenants HTTP/1.1\r\nHost: management.azure.com\r\n\r\n"
	return []row{
		arm("Host of another door", "Host: login.microsoftonline.com on Resource Manager's connection", 421, refused, "GET /common/discovery/keys HTTP/1.1\r\nHost: login.microsoftonline.com\r\n\r\n"),
		arm("absolute form of another door", "GET https://login.microsoftonline.com/… with Resource Manager's Host", 421, refused, "GET https://login.microsoftonline.com/common/discovery/keys HTTP/1.1\r\nHost: management.azure.com\r\n\r\n"),
		arm("Host twice", "two Host headers", 400, refused, "GET / HTTP/1.1\r\nHost: management.azure.com\r\nHost: login.microsoftonline.com\r\n\r\n"),
		arm("no Host", "no Host header", 400, refused, "GET / HTTP/1.1\r\n\r\n"),
		arm("Host with another port", "Host: management.azure.com:8080", 421, refused, "GET / HTTP/1.1\r\nHost: management.azure.com:8080\r\n\r\n"),
		arm("two lengths", "Content-Length 5 and 6", 400, refused, head+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"+inner),
		arm("negative length", "Content-Length -1", 400, refused, head+"Content-Length: -1\r\n\r\n"),
		arm("unknown transfer coding", "Transfer-Encoding: xchunked", 501, refused, head+"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
		arm("two transfer codings", "Transfer-Encoding: chunked, identity", 501, refused, head+"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
		arm("length and chunks", "Content-Length and Transfer-Encoding: the chunks alone count", 401, "AuthenticationFailed", head+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+inner),
		arm("space before the colon", "Content-Length : 5", 400, refused, head+"Content-Length : 5\r\n\r\nhello"),
		arm("header without a name", ": value", 400, refused, head+": value\r\n\r\n"),
		arm("NUL in a header", "Authorization with NUL", 400, refused, head+"Authorization: Bearer \x00\r\n\r\n"),
		arm("header too large", "a header of 300 KiB", 431, refused, head+"X-Big: "+strings.Repeat("a", 300<<10)+"\r\n\r\n"),
		arm("HTTP/2 by preface", "PRI * HTTP/2.0", 421, refused, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		arm("OPTIONS *", "OPTIONS * HTTP/1.1", 401, "AuthenticationFailed", "OPTIONS * HTTP/1.1\r\nHost: management.azure.com\r\n\r\n"),
		arm("CONNECT inside TLS", "CONNECT evil.example:443 after the handshake", 405, refused, "CONNECT evil.example:443 HTTP/1.1\r\nHost: management.azure.com\r\n\r\n"),
	}
}
