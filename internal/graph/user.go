package graph

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"vitrine/internal/authn"
	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/wire"
	"vitrine/internal/token"
)

func (d *door) userRoutes() []route {
	return []route{
		get("users", d.listUsers), get("users/$count", d.counting(d.listUsers)), post("users", d.createUser).preparing(d.hashNew),
		get("users/{}", d.getUser), patch("users/{}", d.changeUser).preparing(d.hashNew), remove("users/{}", d.deleteUser),
		get("users/{}/memberOf", d.userGroups(false)), get("users/{}/transitiveMemberOf", d.userGroups(true)), get("users/{}/ownedObjects", d.userOwned),
		post("users/{}/revokeSignInSessions", d.revokeSessions),
		get("me", d.me(d.getUser)), get("me/memberOf", d.me(d.userGroups(false))), get("me/transitiveMemberOf", d.me(d.userGroups(true))),
		get("me/ownedObjects", d.me(d.userOwned)), ask("me/getMemberGroups", d.me(d.userMemberGroups)), ask("me/checkMemberGroups", d.me(d.userCheckGroups)),
		ask("users/{}/getMemberGroups", d.userMemberGroups), ask("users/{}/getMemberObjects", d.userMemberGroups),
		ask("users/{}/checkMemberGroups", d.userCheckGroups), ask("users/{}/checkMemberObjects", d.userCheckGroups),
		post("me/changePassword", d.changePassword).preparing(d.hashChanged), post("me/revokeSignInSessions", d.me(d.revokeSessions)),
		post("invitations", d.invite),
	}
}

// me answers for the person who signed in as the same path of /users would.
func (d *door) me(f func(*call) (answer, error)) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		if c.who.Kind != authn.User {
			return answer{}, wire.BadRequest("/me request is only valid with delegated authentication flow.")
		}
		c.args = []string{c.who.ObjectID}
		return f(c)
	}
}

// user finds what the first key of the path names: an object ID or a userPrincipalName.
func (d *door) user(c *call) (directory.User, error) {
	key := c.args[0]
	u, err := d.Directory.UserIn(c.tx, c.who.TenantID, key)
	if errors.Is(err, directory.ErrUserNotFound) && strings.Contains(key, "@") {
		u, err = d.Directory.UserByNameIn(c.tx, c.who.TenantID, key)
	}
	if err != nil && !errors.Is(err, directory.ErrUserNotFound) {
		return u, err
	}
	if denied := c.mayRead(u.ObjectID); denied != nil {
		return u, denied
	}
	if err != nil {
		return u, wire.Missing(key)
	}
	return u, nil
}

func (d *door) listUsers(c *call) (answer, error) {
	if err := c.mayRead(""); err != nil {
		return answer{}, err
	}
	var all []directory.User
	var err error
	if upn, ok := c.query.Filter.Pinned("userPrincipalName"); ok {
		u, err := d.Directory.UserByNameIn(c.tx, c.who.TenantID, upn)
		if err == nil {
			all = append(all, u)
		} else if !errors.Is(err, directory.ErrUserNotFound) {
			return answer{}, err
		}
	} else if all, err = d.Directory.Users(c.tx, c.who.TenantID); err != nil {
		return answer{}, err
	}
	var list []*entity.Entity
	for _, u := range all {
		list = append(list, entity.User(u))
	}
	return c.listing("users", entity.UserKind(), list)
}

func (d *door) getUser(c *call) (answer, error) {
	u, err := d.user(c)
	if err != nil {
		return answer{}, err
	}
	return answer{entity: entity.User(u), context: "users"}, c.noExpand()
}

// prepared is a password that was hashed before the transaction.
type prepared struct {
	password directory.Password
	force    *bool
}

// hashNew hashes the password that a body brings. That costs memory and time, so the caller must be somebody who could be allowed: whoever
// may not is refused before.
func (d *door) hashNew(c *call) error {
	raw, there := c.body["passwordProfile"]
	if !there || string(raw) == "null" {
		return nil
	}
	if err := d.look(c, func(c *call) error { return c.mayManageUsers(nil) }); err != nil {
		return err
	}
	var profile wire.Body
	var text, upn string
	var force *bool
	var mfa *bool
	if err := c.body.Into("passwordProfile", &profile); err != nil {
		return err
	}
	if err := profile.Fields(map[string]any{"password": &text, "forceChangePasswordNextSignIn": &force, "forceChangePasswordNextSignInWithMfa": &mfa}); err != nil {
		return err
	}
	if mfa != nil && *mfa {
		return wire.Unsupported("forceChangePasswordNextSignInWithMfa")
	}
	if err := c.body.Into("userPrincipalName", &upn); err != nil {
		return err
	}
	p := prepared{force: force}
	if text != "" {
		var err error
		if p.password, err = d.Directory.HashPassword(c.ctx, text, upn); err != nil {
			return err
		}
	}
	c.prep = p
	return nil
}

func (d *door) createUser(c *call) (answer, error) {
	if err := c.mayManageUsers(nil); err != nil {
		return answer{}, err
	}
	u := directory.User{TenantID: c.who.TenantID, ForceChange: true}
	for _, name := range []string{"accountEnabled", "displayName", "mailNickname", "userPrincipalName", "passwordProfile"} {
		if _, ok := c.body[name]; !ok {
			return answer{}, wire.BadRequest("A value is required for property '%s' of resource 'User'.", name)
		}
	}
	if err := c.setUser(&u); err != nil {
		return answer{}, err
	}
	if u.Password.IsZero() {
		return answer{}, wire.BadRequest("The specified password does not comply with password complexity requirements. Please provide a different password.")
	}
	u, err := d.Directory.CreateUserIn(c.tx, u)
	return answer{status: http.StatusCreated, entity: entity.User(u), context: "users",
		location: "users/" + url.PathEscape(u.ObjectID)}, err
}

func (c *call) setUser(u *directory.User) error {
	var profile wire.Body
	var userType = u.UserType
	err := c.body.Fields(map[string]any{"userPrincipalName": &u.UserPrincipalName, "displayName": &u.DisplayName, "accountEnabled": &u.AccountEnabled,
		"mailNickname": &u.MailNickname, "mail": &u.Mail, "givenName": &u.GivenName, "surname": &u.Surname, "jobTitle": &u.JobTitle,
		"department": &u.Department, "mobilePhone": &u.MobilePhone, "officeLocation": &u.OfficeLocation, "preferredLanguage": &u.PreferredLanguage,
		"usageLocation": &u.UsageLocation, "businessPhones": &u.BusinessPhones, "onPremisesImmutableId": &u.ImmutableID, "passwordProfile": &profile,
		"userType": &userType})
	if err != nil {
		return err
	}
	if userType != u.UserType && userType != directory.Member {
		return wire.Unsupported("Setting property 'userType'; a guest is made by POST /invitations")
	}
	if p, ok := c.prep.(prepared); ok {
		if p.force != nil {
			u.ForceChange = *p.force
		}
		if !p.password.IsZero() {
			u.Password = p.password
		}
	}
	return nil
}

func (d *door) changeUser(c *call) (answer, error) {
	u, err := d.user(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.mayManageUsers(u.DirectoryRoles); err != nil {
		return answer{}, err
	}
	changed, err := d.Directory.ChangeUserIn(c.tx, u.TenantID, u.ObjectID, c.setUser)
	if err != nil || changed.SessionsFrom.Equal(u.SessionsFrom) {
		return answer{}, err
	}
	return answer{}, token.EndAll(c.tx, u.TenantID, u.ObjectID) // disabled, or another password: whoever was signed in is not any more
}

func (d *door) deleteUser(c *call) (answer, error) {
	u, err := d.user(c)
	if err != nil {
		return answer{}, err
	}
	if err := c.mayManageUsers(u.DirectoryRoles); err != nil {
		return answer{}, err
	}
	if err := d.Directory.DeleteUserIn(c.tx, u.TenantID, u.ObjectID); err != nil {
		return answer{}, err
	}
	return answer{}, token.EndAll(c.tx, u.TenantID, u.ObjectID)
}

// revokeSessions voids the person's refresh tokens and sessions: one's own, or as an administrator.
func (d *door) revokeSessions(c *call) (answer, error) {
	u, err := d.user(c)
	if err != nil {
		return answer{}, err
	}
	if !(c.who.full && u.ObjectID == c.who.ObjectID) {
		if err := c.mayManageUsers(u.DirectoryRoles); err != nil {
			return answer{}, err
		}
	}
	if _, err := d.Directory.ChangeUserIn(c.tx, u.TenantID, u.ObjectID, func(u *directory.User) error {
		u.SessionsFrom = d.Now().UTC()
		return nil
	}); err != nil {
		return answer{}, err
	}
	if err := token.EndAll(c.tx, u.TenantID, u.ObjectID); err != nil {
		return answer{}, err
	}
	return answer{entity: entity.New(entity.Kind{Name: "boolean"}, map[string]any{"@odata.context": root + "$metadata#Edm.Boolean", "value": true})}, nil
}

// hashChanged proves the current password of the person and hashes the new one.
func (d *door) hashChanged(c *call) error {
	if c.who.Kind != authn.User {
		return wire.BadRequest("/me request is only valid with delegated authentication flow.")
	}
	var current, next string
	if err := c.body.Fields(map[string]any{"currentPassword": &current, "newPassword": &next}); err != nil {
		return err
	}
	var u directory.User
	err := d.look(c, func(c *call) (err error) {
		u, err = d.Directory.UserIn(c.tx, c.who.TenantID, c.who.ObjectID)
		if err == nil && !c.who.full {
			err = wire.Denied()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := d.Directory.Reprove(c.ctx, u.TenantID, u.ObjectID, current); err != nil {
		return err
	}
	p, err := d.Directory.HashPassword(c.ctx, next, u.UserPrincipalName)
	c.prep = prepared{password: p}
	return err
}

func (d *door) changePassword(c *call) (answer, error) {
	_, err := d.Directory.ChangeUserIn(c.tx, c.who.TenantID, c.who.ObjectID, func(u *directory.User) error {
		p, ok := c.prep.(prepared)
		if !ok {
			return wire.Denied()
		}
		u.Password, u.ForceChange = p.password, false
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	return answer{}, token.EndAll(c.tx, c.who.TenantID, c.who.ObjectID)
}

// invite makes a guest. No mail is sent from here: whoever invites hands over the address at which the guest signs in.
func (d *door) invite(c *call) (answer, error) {
	if !c.who.member() && !c.who.has(directory.GuestInviter, directory.UserAdministrator) {
		return answer{}, wire.Denied()
	}
	var email, redirect, name, userType string
	var send bool
	if err := c.body.Fields(map[string]any{"invitedUserEmailAddress": &email, "inviteRedirectUrl": &redirect, "invitedUserDisplayName": &name,
		"sendInvitationMessage": &send, "invitedUserType": &userType}); err != nil {
		return answer{}, err
	}
	target, err := url.Parse(redirect)
	switch {
	case send:
		return answer{}, wire.Unsupported("sendInvitationMessage: this server sends no mail. Hand inviteRedeemUrl over yourself; sending it")
	case userType != "" && userType != directory.Guest:
		return answer{}, wire.Unsupported("An invited user of type '" + wire.Clip(userType) + "'")
	case err != nil || target.Scheme != "https" && target.Scheme != "http" || len(redirect) > 1024:
		return answer{}, wire.BadRequest("A value is required for property 'inviteRedirectUrl' of resource, an http or https URL.")
	}
	u, err := d.Directory.InviteIn(c.tx, c.who.TenantID, email, name)
	if err != nil {
		return answer{}, err
	}
	redeem := "https://login.microsoftonline.com/" + c.who.TenantID + "/oauth2/v2.0/authorize?login_hint=" + url.QueryEscape(email)
	return answer{status: http.StatusCreated, context: "invitations", location: "invitations/" + u.ObjectID,
		entity: entity.New(entity.Kind{Name: "invitation"}, map[string]any{"id": u.ObjectID, "invitedUserEmailAddress": email, "invitedUserDisplayName": entity.Text(name),
			"inviteRedirectUrl": redirect, "inviteRedeemUrl": redeem, "invitedUserType": directory.Guest, "sendInvitationMessage": false, "resetRedemption": false, "status": u.State,
			"invitedUserMessageInfo": map[string]any{"messageLanguage": nil, "customizedMessageBody": nil, "ccRecipients": []any{}},
			"invitedUser":            map[string]any{"id": u.ObjectID}})}, nil
}
