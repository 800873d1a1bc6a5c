package grant

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/limit"
	"vitrine/internal/login/scope"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

const (
	deviceLife     = 15 * time.Minute
	deviceInterval = 5 * time.Second
	deviceRoom     = "device"
	userCodeRoom   = "usercode"
	userCodeLength = 9

	// No vowels, so that no words come out, and nothing that looks like something else (RFC 8628, 6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
)

// Device is a sign-in that a device waits for. The page finds it by the code that a person types.
type Device struct {
	Client   string        `json:"client"`
	Tenant   string        `json:"tenant,omitempty"` // empty: the person's home
	Resource string        `json:"resource,omitempty"`
	Scope    string        `json:"scope,omitempty"`
	Source   string        `json:"source,omitempty"` // the address that asked for the code
	Asked    time.Time     `json:"asked,omitzero"`   // when the device asked last
	Interval time.Duration `json:"interval"`
	Account  Account       `json:"account,omitzero"`
	Declined bool          `json:"declined,omitempty"`
}

// Waiting is what a device gets to show.
type Waiting struct {
	DeviceCode, UserCode string
	Life, Interval       time.Duration
}

// Wait begins a sign-in with a device code.
func (g *Grants) Wait(ctx context.Context, q Request) (Waiting, error) {
	if q.Client.ID == "" {
		return Waiting{}, aadsts.MissingParameter("client_id")
	}
	app, err := g.application(ctx, q.Client.ID, q.TenantName)
	if err != nil {
		return Waiting{}, err
	}
	if !app.PublicClient && len(app.Native) == 0 {
		return Waiting{}, noCredential(q) // Entra's answer where public client flows are not enabled
	}
	if _, err := scope.Parse(q.Version, q.Form["resource"], q.Form["scope"]); err != nil {
		return Waiting{}, err
	}
	if q.Tenant.ID != "" {
		if _, _, err := g.client(ctx, q); err != nil {
			return Waiting{}, err
		}
	}
	if wait := g.devices.Wait(q.site()); wait > 0 {
		return Waiting{}, tooMany(wait)
	}
	g.devices.Count(q.site())
	w := Waiting{DeviceCode: token.NewSecret(), UserCode: newUserCode(), Life: deviceLife, Interval: deviceInterval}
	d := Device{Client: app.AppID, Tenant: q.Tenant.ID, Resource: q.Form["resource"], Scope: q.Form["scope"], Source: q.Source, Interval: deviceInterval}
	return w, g.Store.Update(ctx, func(tx store.Tx) error {
		if err := token.KeepBriefly(tx, userCodeRoom, w.UserCode, d, g.Now().Add(deviceLife)); err != nil {
			return err
		}
		return token.KeepBriefly(tx, deviceRoom, w.DeviceCode, w.UserCode, g.Now().Add(deviceLife))
	})
}

func newUserCode() string {
	var b strings.Builder
	var one [1]byte
	for b.Len() < userCodeLength {
		if rand.Read(one[:]); one[0] < 240 { // 240 is a multiple of 20: no letter is likelier than another
			b.WriteByte(userCodeLetters[int(one[0])%len(userCodeLetters)])
		}
	}
	return b.String()
}

// FindDevice returns what waits for a code that a person typed. Guesses are counted by source.
func (g *Grants) FindDevice(ctx context.Context, userCode, source string) (d Device, err error) {
	site := limit.Site(source)
	if wait := g.codes.Wait(site); wait > 0 {
		return d, tooMany(wait)
	}
	err = g.Store.View(ctx, func(tx store.Tx) error {
		d, _, err = token.Kept[Device](tx, userCodeRoom, cleanCode(userCode), g.Now())
		return err
	})
	if err == nil && (d.Declined || d.Account != Account{}) {
		err = token.ErrUnknownSecret
	}
	if errors.Is(err, token.ErrUnknownSecret) || errors.Is(err, token.ErrExpired) {
		g.codes.Count(site)
		return d, aadsts.Fail(400, "bad_verification_code", 70018, "That code is not valid or has expired. Check the code and try again.")
	}
	return d, err
}

// cleanCode takes a code as people type it.
func cleanCode(s string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, aadsts.Clip(s)))
}

// Decide lets a person accept what a device waits for, or decline it, in one transaction with what told does.
func (g *Grants) Decide(ctx context.Context, userCode string, account Account, accept bool, told func(store.Tx) error) error {
	return g.Store.Update(ctx, func(tx store.Tx) error {
		d, held, err := token.Kept[Device](tx, userCodeRoom, cleanCode(userCode), g.Now())
		if err != nil {
			return badDevice(err)
		}
		if d.Declined || (d.Account != Account{}) {
			return badDevice(token.ErrUnknownSecret)
		}
		d.Account, d.Declined = account, !accept
		if err := held.Change(tx, d); err != nil {
			return err
		}
		return told(tx)
	})
}

func badDevice(err error) error {
	switch {
	case errors.Is(err, token.ErrUnknownSecret):
		return aadsts.Fail(400, "bad_verification_code", 70018, "Invalid verification code due to user typing in wrong user code for device code flow.")
	case errors.Is(err, token.ErrExpired):
		return aadsts.Fail(400, "expired_token", 70019, "Verification code expired. Have the user retry the sign-in.")
	}
	return err
}

// deviceCode answers a device that asks whether the person has decided. az sends the code under two names.
func (g *Grants) deviceCode(ctx context.Context, q Request) (Reply, error) {
	secret := q.Form["device_code"]
	if secret == "" {
		secret = q.Form["code"]
	}
	if secret == "" {
		return Reply{}, aadsts.MissingParameter("device_code")
	}
	if both := q.Form["code"]; both != "" && both != secret {
		return Reply{}, aadsts.Malformed("the parameters 'code' and 'device_code' differ")
	}
	app, err := g.application(ctx, q.Client.ID, q.TenantName)
	if err != nil {
		return Reply{}, err
	}
	if wait := g.codes.Wait("device|" + q.site()); wait > 0 {
		return Reply{}, tooMany(wait)
	}
	d, slow, err := g.poll(ctx, q, app, secret)
	switch {
	case err != nil:
		if f, ok := errors.AsType[*aadsts.Failure](err); ok && f.Code == 70018 {
			g.codes.Count("device|" + q.site())
		}
		return Reply{}, err
	case d.Declined:
		return Reply{}, aadsts.Fail(400, "authorization_declined", 0, "The end user denied the authorization request.")
	case slow:
		return Reply{}, aadsts.Fail(400, "slow_down", 0, "The device asks more often than every %d seconds.", int(d.Interval.Seconds()))
	case d.Account == Account{}:
		return Reply{}, aadsts.Fail(400, "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending. Continue polling.")
	}
	a, err := scope.Parse(q.Version, d.Resource, d.Scope)
	if err != nil {
		return Reply{}, err
	}
	if d.Tenant != "" {
		if q.Tenant, err = g.Directory.Tenant(ctx, d.Tenant); err != nil {
			return Reply{}, err
		}
	}
	return g.signedIn(ctx, sign{q: q, app: app, acr: unprovedACR, asked: a}, d.Account)
}

// poll notes that the device asked; what was decided is given out once.
func (g *Grants) poll(ctx context.Context, q Request, app directory.Application, secret string) (d Device, slow bool, err error) {
	err = g.Store.Update(ctx, func(tx store.Tx) error {
		slow = false
		userCode, device, err := token.Kept[string](tx, deviceRoom, secret, g.Now())
		if err != nil {
			return badDevice(err)
		}
		var held token.Held
		if d, held, err = token.Kept[Device](tx, userCodeRoom, userCode, g.Now()); err != nil {
			return badDevice(err)
		}
		if d.Client != app.AppID || q.Tenant.ID != "" && d.Tenant != "" && q.Tenant.ID != d.Tenant {
			return badDevice(token.ErrUnknownSecret)
		}
		if (d.Account != Account{}) {
			if err := held.Drop(tx); err != nil {
				return err
			}
			return device.Drop(tx)
		}
		// A second's grace, since a device's timer and ours do not tick together.
		if slow = g.Now().Sub(d.Asked) < d.Interval-time.Second; slow {
			d.Interval += deviceInterval
		}
		d.Asked = g.Now().UTC()
		return held.Change(tx, d)
	})
	return d, slow, err
}
