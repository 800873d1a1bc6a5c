package authn

import (
	"fmt"
	"strings"
)

// The headers that carry tokens.
const (
	PrimaryHeader   = "Authorization"
	AuxiliaryHeader = "x-ms-authorization-auxiliary"
)

const (
	maxAuxiliary = 3        // Azure Resource Manager's limit
	maxHeader    = 48 << 10 // bytes of one header with all its values; ours need about 4 KiB
)

// bearer takes one credential apart. The scheme's case does not matter (RFC 9110, 11.1).
func bearer(credential string) (raw string, fault string) {
	scheme, raw, _ := strings.Cut(strings.TrimSpace(credential), " ")
	raw = strings.TrimSpace(raw)
	switch {
	case strings.EqualFold(scheme, "EncryptedBearer"):
		return "", "The authentication scheme EncryptedBearer is not supported, only Bearer is."
	case !strings.EqualFold(scheme, "Bearer"):
		return "", fmt.Sprintf("The authentication scheme of %s is not supported.", printable(scheme))
	case raw == "":
		return "", "The access token is missing after the scheme Bearer."
	case !isToken(raw):
		return "", "The access token is invalid: it has characters that no token has."
	}
	return raw, ""
}

// isToken takes what RFC 6750 calls b64token.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/=", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// printable is a text from outside, cut and cleaned for a message or a header.
func printable(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7e || r == '"' || r == '\\' || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
	if len(clean) > 40 {
		clean = clean[:40]
	}
	return "'" + clean + "'"
}

// splitAuxiliary gives the credentials of the auxiliary header. ARM's separator is the comma; older clients join with a
// semicolon, which means nothing else here, so both are taken. Empty elements count for nothing (RFC 9110, 5.6.1).
func splitAuxiliary(values []string) (credentials []string, fault string) {
	size := 0
	for _, v := range values {
		if size += len(v); size > maxHeader {
			return nil, fmt.Sprintf("The header '%s' has more than %d bytes.", AuxiliaryHeader, maxHeader)
		}
		for _, one := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ';' }) {
			if one = strings.TrimSpace(one); one != "" {
				credentials = append(credentials, one)
			}
		}
	}
	if len(credentials) > maxAuxiliary {
		return nil, fmt.Sprintf("The header '%s' has %d access tokens; at most %d are allowed.",
			AuxiliaryHeader, len(credentials), maxAuxiliary)
	}
	return credentials, ""
}
