package account

import (
	"crypto/hmac"
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"vitrine/internal/authn"
	"vitrine/internal/dataplane/wire"
)

// sas is what a signed URL grants.
type sas struct {
	permissions string
	resource    string // b, c, or empty for an account SAS
	services    string // of an account SAS
	types       string
	delegate    *authn.Principal // of a user delegation SAS: whose rights bound it
}

// parameters that a SAS may have, in the forms that are served; any other that changes its meaning is refused.
var unsupportedSAS = []string{"ses", "sdd", "saoid", "suoid", "scid", "sduoid", "skdutid"}

// proveSAS checks a shared access signature (learn.microsoft.com: Create an account, a service, a user delegation SAS).
func (x *exchange) proveSAS() (proof, error) {
	q := x.query
	for name := range q {
		if _, once := one(q, name); !once {
			return nil, wire.Denied("The query parameter " + name + " is given more than once.")
		}
	}
	for _, name := range unsupportedSAS {
		if q.Has(name) {
			return nil, wire.Denied("The signed parameter " + name + " is not supported here.")
		}
	}
	given, err := base64.StdEncoding.DecodeString(q.Get("sig"))
	if err != nil || q.Get("sv") < "2018-11-09" {
		return nil, wire.Denied("Signature not valid in the specified version, or the version is older than 2018-11-09.")
	}
	s := sas{permissions: q.Get("sp"), resource: q.Get("sr"), services: q.Get("ss"), types: q.Get("srt")}
	switch {
	case q.Has("skoid"):
		err = x.delegated(&s, given)
	case s.services != "":
		err = x.signed(x.accountText(), given)
	default:
		err = x.signed(x.serviceText(false), given)
	}
	if err != nil {
		return nil, err
	}
	return s, x.inTime()
}

func (x *exchange) signed(text string, given []byte) error {
	if !x.account.SharedKey {
		return noKeys()
	}
	if x.query.Get("si") != "" {
		return wire.Denied("A stored access policy (si) is not supported here.")
	}
	if !x.signedByKey(text, given) {
		return wire.Denied("Signature did not match.")
	}
	return nil
}

// inTime checks what a SAS says of time, protocol and address.
func (x *exchange) inTime() error {
	q := x.query
	now := x.now()
	end, err := signedTime(q.Get("se"))
	if err != nil || !now.Before(end) {
		return wire.Denied("Signed expiry time must be after signed start time, and not have passed.")
	}
	if start := q.Get("st"); start != "" {
		at, err := signedTime(start)
		if err != nil || now.Add(skew).Before(at) {
			return wire.Denied("Signed start time has not come yet.")
		}
	}
	if p := q.Get("spr"); p != "" && p != "https" && p != "https,http" {
		return wire.Denied("The signed protocol is not valid.")
	}
	if ip := q.Get("sip"); ip != "" && !within(x.r.RemoteAddr, ip) {
		return wire.Fail(http.StatusForbidden, "AuthorizationSourceIPMismatch", "This request is not authorized to perform this operation using this source IP.")
	}
	return nil
}

func signedTime(text string) (time.Time, error) {
	var err error
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		var t time.Time
		if t, err = time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, err
}

func within(remote, signed string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	first, last, ranged := strings.Cut(signed, "-")
	if !ranged {
		last = first
	}
	low, err1 := netip.ParseAddr(first)
	high, err2 := netip.ParseAddr(last)
	addr := peer.Addr().Unmap()
	return err1 == nil && err2 == nil && low.Compare(addr) <= 0 && addr.Compare(high) <= 0
}

// serviceText is the string to sign of a service SAS, from version 2018-11-09 on.
func (x *exchange) serviceText(delegated bool) string {
	q := x.query
	path := "/blob/" + x.account.Name + "/" + x.container
	if q.Get("sr") == "b" {
		path += "/" + x.blob
	}
	lines := []string{q.Get("sp"), q.Get("st"), q.Get("se"), path}
	if delegated {
		lines = append(lines, q.Get("skoid"), q.Get("sktid"), q.Get("skt"), q.Get("ske"), q.Get("sks"), q.Get("skv"))
		if q.Get("sv") >= "2020-02-10" {
			lines = append(lines, q.Get("saoid"), q.Get("suoid"), q.Get("scid"))
		}
		if q.Get("sv") >= "2025-07-05" {
			lines = append(lines, q.Get("skdutid"), q.Get("sduoid"))
		}
	} else {
		lines = append(lines, q.Get("si"))
	}
	lines = append(lines, q.Get("sip"), q.Get("spr"), q.Get("sv"), q.Get("sr"), "")
	if q.Get("sv") >= "2020-12-06" {
		lines = append(lines, q.Get("ses"))
	}
	return strings.Join(append(lines, q.Get("rscc"), q.Get("rscd"), q.Get("rsce"), q.Get("rscl"), q.Get("rsct")), "\n")
}

// accountText is the string to sign of an account SAS.
func (x *exchange) accountText() string {
	q := x.query
	lines := []string{x.account.Name, q.Get("sp"), q.Get("ss"), q.Get("srt"), q.Get("st"), q.Get("se"), q.Get("sip"), q.Get("spr"), q.Get("sv")}
	if q.Get("sv") >= "2020-12-06" {
		lines = append(lines, q.Get("ses"))
	}
	return strings.Join(append(lines, ""), "\n")
}

// delegated checks a user delegation SAS: a key that this server made for a principal, whose rights are asked as well.
func (x *exchange) delegated(s *sas, given []byte) error {
	q := x.query
	key, err := x.delegationKey(q.Get("sktid"), q.Get("skoid"), q.Get("skt"), q.Get("ske"), q.Get("sks"), q.Get("skv"))
	if err != nil {
		return err
	}
	start, err1 := signedTime(q.Get("skt"))
	end, err2 := signedTime(q.Get("ske"))
	now := x.now()
	if err1 != nil || err2 != nil || now.Add(skew).Before(start) || !now.Before(end) {
		return wire.Denied("The user delegation key is not valid now.")
	}
	if !hmac.Equal(mac(key, x.serviceText(true)), given) {
		return wire.Denied("Signature did not match.")
	}
	who, ok, err := x.Authn.Standing(x.r.Context(), strings.ToLower(q.Get("sktid")), strings.ToLower(q.Get("skoid")))
	if err != nil {
		return err
	}
	if !ok {
		return wire.Denied("The principal of the user delegation key is not there any more.")
	}
	s.delegate = &who
	return nil
}

// may implements proof. A SAS grants no more than its letters, on what its path names.
func (s sas) may(x *exchange, r right) error {
	if s.services != "" {
		if !strings.Contains(s.services, "b") {
			return wire.Fail(http.StatusForbidden, "AuthorizationServiceMismatch", "This request is not authorized to perform this operation using this service.")
		}
		if strings.IndexByte(s.types, r.typ) < 0 {
			return wire.Fail(http.StatusForbidden, "AuthorizationResourceTypeMismatch", "This request is not authorized to perform this operation using this resource type.")
		}
	} else if r.asOwner || !s.covers(x, r) {
		return mismatch()
	}
	if !grants(s.permissions, r.letter) {
		return mismatch()
	}
	if s.delegate != nil {
		return bearer{*s.delegate}.may(x, r)
	}
	return nil
}

// covers says whether a service SAS is for what the operation is on: one for a blob says nothing of its container.
func (s sas) covers(x *exchange, r right) bool {
	switch s.resource {
	case "b":
		return r.typ == 'o' && x.blob != ""
	case "c":
		return (r.typ == 'o' || r.typ == 'c') && x.container != ""
	}
	return false
}

// grants: who may write may also create and append.
func grants(permissions string, letter byte) bool {
	if strings.IndexByte(permissions, letter) >= 0 {
		return true
	}
	return (letter == 'c' || letter == 'a') && strings.IndexByte(permissions, 'w') >= 0
}
