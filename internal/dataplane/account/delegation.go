package account

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/web"
)

// longestKey is for how long a user delegation key may be valid: seven days.
const longestKey = 7 * 24 * time.Hour

type keyInfo struct {
	XMLName xml.Name `xml:"KeyInfo"`
	Start   string   `xml:"Start"`
	Expiry  string   `xml:"Expiry"`
}

type delegationKey struct {
	XMLName xml.Name `xml:"UserDelegationKey"`
	OID     string   `xml:"SignedOid"`
	TID     string   `xml:"SignedTid"`
	Start   string   `xml:"SignedStart"`
	Expiry  string   `xml:"SignedExpiry"`
	Service string   `xml:"SignedService"`
	Version string   `xml:"SignedVersion"`
	Value   string   `xml:"Value"`
}

// userDelegationKey serves Get User Delegation Key, for bearers of a token only.
func (x *exchange) userDelegationKey() error {
	who, ok := x.proof.(bearer)
	if !ok {
		return mismatch()
	}
	if err := x.may(right{letter: '-', action: delegationAction}); err != nil {
		return err
	}
	var info keyInfo
	if err := x.document(&info); err != nil {
		return err
	}
	now := x.now()
	start, err1 := signedTime(info.Start)
	end, err2 := signedTime(info.Expiry)
	if info.Start == "" {
		start, err1 = now, nil
	}
	if err1 != nil || err2 != nil || !end.After(start) || !end.After(now) || end.Sub(now) > longestKey {
		return wire.Fail(http.StatusBadRequest, "InvalidXmlNodeValue", "The value for one of the XML nodes is not in the correct format: Start and Expiry, at most seven days apart.")
	}
	const layout = "2006-01-02T15:04:05Z"
	out := delegationKey{OID: who.ObjectID, TID: who.TenantID, Start: start.UTC().Format(layout), Expiry: end.UTC().Format(layout),
		Service: "b", Version: x.w.Header().Get("x-ms-version")}
	key, err := x.delegationKey(out.TID, out.OID, out.Start, out.Expiry, out.Service, out.Version)
	if err != nil {
		return err
	}
	out.Value = base64.StdEncoding.EncodeToString(key)
	web.Write(x.w, http.StatusOK, "application/xml", wire.Document(out))
	return nil
}

// delegationKey derives the key that belongs to what a SAS says of it: nothing is stored, and none of it can be changed.
// It hangs on both account keys, so that renewing one takes all delegations back.
func (x *exchange) delegationKey(parts ...string) ([]byte, error) {
	h := hmac.New(sha256.New, []byte("vitrine user delegation key\n"+x.account.UniqueID))
	for _, key := range x.account.Keys {
		h.Write(key)
	}
	text := strings.ToLower(strings.Join(parts[:2], "\n")) + "\n" + strings.Join(parts[2:], "\n")
	return mac(h.Sum(nil), text), nil
}
