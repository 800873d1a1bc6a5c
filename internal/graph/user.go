package graph

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"vitrine/internal/authn"
	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/rest"
	"vitrine/internal/graph/wire"
	"vitrine/internal/token"
)

func (d *door) userRoutes() []rest.Route {
	return []rest.Route{
		rest.Get("users", d.listUsers), rest.Get("users/$count", d.counting(d.listUsers)), rest.Post("users", d.createUser).Preparing(d.hashNew),
		rest.Get("users/{}", d.getUser), rest.Patch("users/{}", d.changeUser).Preparing(d.hashNew), rest.Remove("users/{}", d.deleteUser),
		rest.Get("users/{}/memberOf", d.groupsOf(d.userEnd, false)), rest.Get("users/{}/transitiveMemberOf", d.groupsOf(d.userEnd, true)), rest.Get("users/{}/ownedObjects", of(d.userEnd, d.owned)),
		rest.Post("users/{}/revokeSignInSessions", d.revokeSessions),
		rest.Get("me", d.me(d.getUser)), rest.Get("me/memberOf", d.me(d.groupsOf(d.userEnd, false))), rest.Get("me/transitiveMemberOf", d.me(d.groupsOf(d.userEnd, true))),
		rest.Get("me/ownedObjects", d.me(of(d.userEnd, d.owned))),
		rest.Post("me/changePassword", d.changePassword).Preparing(d.hashChanged), rest.Post("me/revokeSignInSessions", d.me(d.revokeSessions)),
		rest.Post("invitations", d.invite),
	}
}

// me answers for the person who signed in as the same path of /users would.
func (d *door) me(f func(*rest.Call) (rest.Answer, error)) func(*rest.Call) (rest.Answer, error) {
	return func(c *rest.Call) (rest.Answer, error) {
		if c.Who.Kind != authn.User {
			return rest.Answer{}, wire.BadRequest("/me request is only valid with delegated authentication flow.")
		}
		c.Args = []string{c.Who.ObjectID}
		return f(c)
	}
}

// user finds what the first key of the path names: an object ID or a userPrincipalName.
func (d *door) user(c *rest.Call) (directory.User, error) {
	key := c.Args[0]
	u, err := d.Directory.UserIn(c.Tx, c.Who.TenantID, key)
	if errors.Is(err, directory.ErrUserNotFound) && strings.Contains(key, "@") {
		u, err = d.Directory.UserByNameIn(c.Tx, c.Who.TenantID, key)
	}
	if err != nil && !errors.Is(err, directory.ErrUserNotFound) {
		return u, err
	}
	if denied := c.MayRead(u.ObjectID); denied != nil {
		return u, denied
	}
	if err != nil {
		return u, wire.Missing(key)
	}
	return u, nil
}

func (d *door) listUsers(c *rest.Call) (rest.Answer, error) {
	if err := c.MayRead(""); err != nil {
		return rest.Answer{}, err
	}
	var all []directory.User
	var err error
	if upn, ok := c.Query.Filter.Pinned("userPrincipalName"); ok {
		u, err := d.Directory.UserByNameIn(c.Tx, c.Who.TenantID, upn)
		if err == nil {
			all = append(all, u)
		} else if !errors.Is(err, directory.ErrUserNotFound) {
			return rest.Answer{}, err
		}
	} else if all, err = d.Directory.Users(c.Tx, c.Who.TenantID); err != nil {
		return rest.Answer{}, err
	}
	var list []*entity.Entity
	for _, u := range all {
		list = append(list, entity.User(u))
	}
	return c.Listing("users", entity.UserKind(), list)
}

func (d *door) getUser(c *rest.Call) (rest.Answer, error) {
	u, err := d.user(c)
	if err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{Entity: entity.User(u), Context: "users"}, c.NoExpand()
}

// prepared is a password that was hashed before the transaction.
type prepared struct {
	password directory.Password
	force    *bool
}

// hashNew hashes the password that a body brings. That costs memory and time, so the caller must be somebody who could be allowed: whoever
// may not is refused before.
func (d *door) hashNew(c *rest.Call) error {
	raw, there := c.Body["passwordProfile"]
	if !there || string(raw) == "null" {
		return nil
	}
	if err := c.Look(func(c *rest.Call) error { return c.MayManageUsers(nil) }); err != nil {
		return err
	}
	var profile wire.Body
	var text, upn string
	var force *bool
	var mfa *bool
	if err := c.Body.Into("passwordProfile", &profile); err != nil {
		return err
	}
	if err := profile.Fields(map[string]any{"password": &text, "forceChangePasswordNextSignIn": &force, "forceChangePasswordNextSignInWithMfa": &mfa}); err != nil {
		return err
	}
	if mfa != nil && *mfa {
		return wire.Unsupported("forceChangePasswordNextSignInWithMfa")
	}
	if err := c.Body.Into("userPrincipalName", &upn); err != nil {
		return err
	}
	p := prepared{force: force}
	if string(profile["password"]) == `""` {
		return wire.BadRequest("The specified password does not comply with password complexity requirements. Please provide a different password.")
	}
	if text != "" {
		var err error
		if p.password, err = d.Directory.HashPassword(c.Ctx, text, upn); err != nil {
			return err
		}
	}
	c.Prep = p
	return nil
}

func (d *door) createUser(c *rest.Call) (rest.Answer, error) {
	if err := c.MayManageUsers(nil); err != nil {
		return rest.Answer{}, err
	}
	u := directory.User{TenantID: c.Who.TenantID, UserType: directory.Member, ForceChange: true}
	if err := c.Body.Require("User", "accountEnabled", "displayName", "mailNickname", "userPrincipalName", "passwordProfile"); err != nil {
		return rest.Answer{}, err
	}
	if err := setUser(c, &u); err != nil {
		return rest.Answer{}, err
	}
	if u.Password.IsZero() {
		return rest.Answer{}, wire.BadRequest("The specified password does not comply with password complexity requirements. Please provide a different password.")
	}
	u, err := d.Directory.CreateUserIn(c.Tx, u)
	return rest.Answer{Status: http.StatusCreated, Entity: entity.User(u), Context: "users",
		Location: "users/" + url.PathEscape(u.ObjectID)}, err
}

func setUser(c *rest.Call, u *directory.User) error {
	var profile wire.Body
	var userType = u.UserType
	err := c.Body.Fields(map[string]any{"userPrincipalName": &u.UserPrincipalName, "displayName": &u.DisplayName, "accountEnabled": &u.AccountEnabled,
		"mailNickname": &u.MailNickname, "mail": &u.Mail, "givenName": &u.GivenName, "surname": &u.Surname, "jobTitle": &u.JobTitle,
		"department": &u.Department, "mobilePhone": &u.MobilePhone, "officeLocation": &u.OfficeLocation, "preferredLanguage": &u.PreferredLanguage,
		"usageLocation": &u.UsageLocation, "businessPhones": &u.BusinessPhones, "onPremisesImmutableId": &u.ImmutableID, "passwordProfile": &profile,
		"userType": &userType})
	if err != nil {
		return err
	}
	if userType != u.UserType { // it is what the home tenant makes of it, so a client may only say it again
		return wire.Unsupported("Setting property 'userType' to anything but '" + u.UserType + "' (a guest is made by POST /invitations and stays one)")
	}
	if err := c.Body.NotNull("accountEnabled"); err != nil {
		return err
	}
	if p, ok := c.Prep.(prepared); ok {
		if p.force != nil {
			u.ForceChange = *p.force
		}
		if !p.password.IsZero() {
			u.Password = p.password
		}
	}
	return nil
}

func (d *door) changeUser(c *rest.Call) (rest.Answer, error) {
	u, err := d.user(c)
	if err != nil {
		return rest.Answer{}, err
	}
	if err := c.MayManageUsers(u.DirectoryRoles); err != nil {
		return rest.Answer{}, err
	}
	changed, err := d.Directory.ChangeUserIn(c.Tx, u.TenantID, u.ObjectID, func(o *directory.User) error { return setUser(c, o) })
	if err != nil || changed.SessionsFrom.Equal(u.SessionsFrom) {
		return rest.Answer{}, err
	}
	return rest.Answer{}, token.EndAll(c.Tx, u.TenantID, u.ObjectID) // disabled, or another password: whoever was signed in is not any more
}

func (d *door) deleteUser(c *rest.Call) (rest.Answer, error) {
	u, err := d.user(c)
	if err != nil {
		return rest.Answer{}, err
	}
	if err := c.MayManageUsers(u.DirectoryRoles); err != nil {
		return rest.Answer{}, err
	}
	if err := d.Directory.DeleteUserIn(c.Tx, u.TenantID, u.ObjectID); err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{}, token.EndAll(c.Tx, u.TenantID, u.ObjectID)
}

// revokeSessions voids the person's refresh tokens and sessions: one's own, or as an administrator.
func (d *door) revokeSessions(c *rest.Call) (rest.Answer, error) {
	u, err := d.user(c)
	if err != nil {
		return rest.Answer{}, err
	}
	if !(c.Who.Full && u.ObjectID == c.Who.ObjectID) {
		if err := c.MayManageUsers(u.DirectoryRoles); err != nil {
			return rest.Answer{}, err
		}
	}
	if _, err := d.Directory.ChangeUserIn(c.Tx, u.TenantID, u.ObjectID, func(u *directory.User) error {
		u.SessionsFrom = d.Now().UTC()
		return nil
	}); err != nil {
		return rest.Answer{}, err
	}
	if err := token.EndAll(c.Tx, u.TenantID, u.ObjectID); err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{Entity: entity.New(entity.Kind{Name: "boolean"}, map[string]any{"@odata.context": rest.Root + "$metadata#Edm.Boolean", "value": true})}, nil
}

// hashChanged proves the current password of the person and hashes the new one.
func (d *door) hashChanged(c *rest.Call) error {
	if c.Who.Kind != authn.User {
		return wire.BadRequest("/me request is only valid with delegated authentication flow.")
	}
	var current, next string
	if err := c.Body.Fields(map[string]any{"currentPassword": &current, "newPassword": &next}); err != nil {
		return err
	}
	var u directory.User
	err := c.Look(func(c *rest.Call) (err error) {
		u, err = d.Directory.UserIn(c.Tx, c.Who.TenantID, c.Who.ObjectID)
		if err == nil && !c.Who.Full {
			err = wire.Denied()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := d.Directory.Reprove(c.Ctx, u.TenantID, u.ObjectID, current); err != nil {
		return err
	}
	p, err := d.Directory.HashPassword(c.Ctx, next, u.UserPrincipalName)
	c.Prep = prepared{password: p}
	return err
}

func (d *door) changePassword(c *rest.Call) (rest.Answer, error) {
	_, err := d.Directory.ChangeUserIn(c.Tx, c.Who.TenantID, c.Who.ObjectID, func(u *directory.User) error {
		p, ok := c.Prep.(prepared)
		if !ok {
			return wire.Denied()
		}
		u.Password, u.ForceChange = p.password, false
		return nil
	})
	if err != nil {
		return rest.Answer{}, err
	}
	return rest.Answer{}, token.EndAll(c.Tx, c.Who.TenantID, c.Who.ObjectID)
}

// invite makes a guest. No mail is sent from here: whoever invites hands over the address at which the guest signs in.
func (d *door) invite(c *rest.Call) (rest.Answer, error) {
	if !c.Who.Member() && !c.Who.Has(directory.GuestInviter, directory.UserAdministrator) {
		return rest.Answer{}, wire.Denied()
	}
	var email, redirect, name, userType string
	var send bool
	if err := c.Body.Fields(map[string]any{"invitedUserEmailAddress": &email, "inviteRedirectUrl": &redirect, "invitedUserDisplayName": &name,
		"sendInvitationMessage": &send, "invitedUserType": &userType}); err != nil {
		return rest.Answer{}, err
	}
	target, err := url.Parse(redirect)
	switch {
	case send:
		return rest.Answer{}, wire.Unsupported("sendInvitationMessage: this server sends no mail. Hand inviteRedeemUrl over yourself; sending it")
	case userType != "" && userType != directory.Guest:
		return rest.Answer{}, wire.Unsupported("An invited user of type '" + wire.Clip(userType) + "'")
	case err != nil || target.Scheme != "https" && target.Scheme != "http" || target.Host == "" || target.User != nil || len(redirect) > 1024: // a user name may look like a host to who accepts
		return rest.Answer{}, wire.BadRequest("A value is required for property 'inviteRedirectUrl' of resource, an http or https URL.")
	}
	u, err := d.Directory.InviteIn(c.Tx, c.Who.TenantID, email, name)
	if err != nil {
		return rest.Answer{}, err
	}
	if u.State == directory.PendingAcceptance {
		if err := d.Directory.LeadIn(c.Tx, u, redirect); err != nil {
			return rest.Answer{}, err
		}
	}
	redeem := "https://login.microsoftonline.com/" + c.Who.TenantID + "/redeem?login_hint=" + url.QueryEscape(email)
	return rest.Answer{Status: http.StatusCreated, Context: "invitations", Location: "invitations/" + u.ObjectID,
		Entity: entity.New(entity.Kind{Name: "invitation"}, map[string]any{"id": u.ObjectID, "invitedUserEmailAddress": email, "invitedUserDisplayName": entity.Text(name),
			"inviteRedirectUrl": redirect, "inviteRedeemUrl": redeem, "invitedUserType": directory.Guest, "sendInvitationMessage": false, "resetRedemption": false, "status": u.State,
			"invitedUserMessageInfo": map[string]any{"messageLanguage": nil, "customizedMessageBody": nil, "ccRecipients": []any{}},
			"invitedUser":            map[string]any{"id": u.ObjectID}})}, nil
}
