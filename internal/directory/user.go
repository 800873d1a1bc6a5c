package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// The types of users.
const (
	Member = "Member"
	Guest  = "Guest"
)

// The states of an invitation (externalUserState).
const (
	PendingAcceptance = "PendingAcceptance"
	Accepted          = "Accepted"
)

// User is a person in one tenant. A guest is a second object, in the inviting tenant, for a user whose home is another one;
// only the object at home has a password.
type User struct {
	ObjectID          string `json:"objectId"`
	TenantID          string `json:"tenantId"`
	UserPrincipalName string `json:"userPrincipalName"` // unique in the installation, whatever its case
	Profile
	UserType       string    `json:"userType"` // Member or Guest
	AccountEnabled bool      `json:"accountEnabled"`
	Password       Password  `json:"password,omitzero"`
	ForceChange    bool      `json:"forceChangePassword,omitempty"` // at the next sign-in
	DirectoryRoles []string  `json:"directoryRoles,omitempty"`
	SessionsFrom   time.Time `json:"sessionsFrom,omitzero"` // refresh tokens and sessions issued before are void
	Guesthood
	Created time.Time `json:"created"`
}

// Profile is what a user's object says of the person.
type Profile struct {
	DisplayName       string   `json:"displayName"`
	MailNickname      string   `json:"mailNickname,omitempty"`
	Mail              string   `json:"mail,omitempty"`
	GivenName         string   `json:"givenName,omitempty"`
	Surname           string   `json:"surname,omitempty"`
	JobTitle          string   `json:"jobTitle,omitempty"`
	Department        string   `json:"department,omitempty"`
	MobilePhone       string   `json:"mobilePhone,omitempty"`
	OfficeLocation    string   `json:"officeLocation,omitempty"`
	PreferredLanguage string   `json:"preferredLanguage,omitempty"`
	UsageLocation     string   `json:"usageLocation,omitempty"`
	ImmutableID       string   `json:"onPremisesImmutableId,omitempty"`
	BusinessPhones    []string `json:"businessPhones,omitempty"`
}

// Guesthood ties a guest to the user who signs in.
type Guesthood struct {
	HomeTenant   string    `json:"homeTenant,omitempty"`        // empty for members
	HomeObject   string    `json:"homeObject,omitempty"`        // empty until the person accepted
	Invited      string    `json:"invited,omitempty"`           // the name that was invited, lower case
	Redirect     string    `json:"inviteRedirectUrl,omitempty"` // where who accepts is sent
	State        string    `json:"externalUserState,omitempty"`
	StateChanged time.Time `json:"externalUserStateChanged,omitzero"`
}

// Has says whether the user holds a directory role.
func (u User) Has(role string) bool { return slices.Contains(u.DirectoryRoles, role) }

// Home is the tenant where the user signs in.
func (u User) Home() string {
	if u.UserType == Guest {
		return u.HomeTenant
	}
	return u.TenantID
}

func userKey(tenantID, objectID string) string {
	return "directory/users/" + strings.ToLower(tenantID) + "/" + strings.ToLower(objectID)
}

func (u User) terms() []string {
	terms := []string{"tenant:" + u.TenantID, "object:" + u.ObjectID, "upn:" + strings.ToLower(u.UserPrincipalName)}
	if u.HomeObject != "" {
		terms = append(terms, "home:"+u.HomeTenant+"/"+u.HomeObject)
	}
	if u.Invited != "" {
		terms = append(terms, "invited:"+u.Invited)
	}
	return append(terms, roleTerms(u.DirectoryRoles)...)
}

// CreateUserIn makes a member of the tenant that u.TenantID names. The password, if any, comes from HashPassword, outside of
// the transaction.
func (d *Directory) CreateUserIn(tx store.Tx, u User) (User, error) {
	t, err := d.TenantIn(tx, u.TenantID)
	if err != nil {
		return User{}, err
	}
	u.ObjectID, u.TenantID, u.UserType, u.Guesthood, u.DirectoryRoles = uuid.NewString(), t.ID, Member, Guesthood{}, nil
	u.Created = d.now().UTC()
	if err := d.checkUser(tx, User{}, u); err != nil {
		return User{}, err
	}
	return u, record.Write(tx, store.Document{Key: userKey(t.ID, u.ObjectID), Kind: KindUser, Terms: u.terms()}, u)
}

const maxUPN = 113 // characters, Entra's limit

func (d *Directory) checkUser(tx store.Tx, old, u User) error {
	if err := rule.CheckName("display name", u.DisplayName); err != nil {
		return err
	}
	for _, text := range append([]string{u.MailNickname, u.Mail, u.GivenName, u.Surname, u.JobTitle, u.Department, u.MobilePhone,
		u.OfficeLocation, u.PreferredLanguage, u.UsageLocation, u.ImmutableID}, u.BusinessPhones...) {
		if text != "" {
			if err := rule.CheckName("property", text); err != nil {
				return err
			}
		}
	}
	if old.ObjectID != "" && strings.EqualFold(old.UserPrincipalName, u.UserPrincipalName) || u.UserType == Guest && old.ObjectID == "" {
		return nil
	}
	local, domain, ok := rule.CutLast(u.UserPrincipalName, "@")
	if !ok || local == "" || len(u.UserPrincipalName) > maxUPN || strings.Trim(strings.ToLower(local), "abcdefghijklmnopqrstuvwxyz0123456789'.-_!#^~+") != "" {
		return fmt.Errorf("userPrincipalName %.120q is not of the form name@domain: %w", u.UserPrincipalName, ErrInvalid)
	}
	owner, err := d.domainOwner(tx, strings.ToLower(domain))
	if err != nil {
		return err
	}
	if owner != u.TenantID {
		return fmt.Errorf("The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain names in your organization: %w", ErrInvalid)
	}
	return d.nameFree(tx, u)
}

func (d *Directory) nameFree(tx store.Tx, u User) error {
	taken, err := d.userByName(tx, u.UserPrincipalName)
	if err == nil && taken.ObjectID != u.ObjectID {
		return fmt.Errorf("Another object with the same value for property userPrincipalName already exists: %w", ErrExists)
	}
	if errors.Is(err, ErrUserNotFound) {
		return nil
	}
	return err
}

// UserIn returns the user with an object ID in a tenant, or ErrUserNotFound.
func (d *Directory) UserIn(tx store.Tx, tenantID, objectID string) (User, error) {
	u, _, err := d.user(tx, tenantID, objectID)
	return u, err
}

// User is UserIn by itself.
func (d *Directory) User(ctx context.Context, tenantID, objectID string) (User, error) {
	return view(ctx, d, func(tx store.Tx) (User, error) { return d.UserIn(tx, tenantID, objectID) })
}

func (d *Directory) user(tx store.Tx, tenantID, objectID string) (User, store.Document, error) {
	missing := fmt.Errorf("user %.64q in tenant %.64q: %w", objectID, tenantID, ErrUserNotFound)
	t, o := rule.CanonicalID(tenantID), rule.CanonicalID(objectID)
	if t == "" || o == "" {
		return User{}, store.Document{}, missing
	}
	return record.Read[User](tx, userKey(t, o), missing)
}

// UserByName returns the user with a userPrincipalName, in whatever tenant, or ErrUserNotFound: the name tells where a person
// is at home. It is for signing in; whoever asks within a tenant uses UserByNameIn.
func (d *Directory) UserByName(ctx context.Context, upn string) (User, error) {
	return view(ctx, d, func(tx store.Tx) (User, error) { return d.userByName(tx, upn) })
}

// UserByNameIn returns the user of a tenant with a userPrincipalName, or ErrUserNotFound.
func (d *Directory) UserByNameIn(tx store.Tx, tenantID, upn string) (User, error) {
	u, err := d.userByName(tx, upn)
	if err == nil && u.TenantID != rule.CanonicalID(tenantID) {
		return User{}, fmt.Errorf("user %.120q: %w", upn, ErrUserNotFound)
	}
	return u, err
}

func (d *Directory) userByName(tx store.Tx, upn string) (User, error) {
	missing := fmt.Errorf("user %.120q: %w", upn, ErrUserNotFound)
	if rule.CheckName("name", upn) != nil {
		return User{}, missing
	}
	return record.One[User](tx, store.Query{Kind: KindUser, Any: []string{"upn:" + strings.ToLower(upn)}}, missing)
}

// Users lists the users of a tenant, in the order of their object IDs.
func (d *Directory) Users(tx store.Tx, tenantID string) ([]User, error) {
	return record.List[User](tx, store.Query{Kind: KindUser, Prefix: userKey(rule.CanonicalID(tenantID), "")})
}

// ChangeUserIn changes a user; IDs, type, directory roles and guesthood stay as they were. Disabling, or a new password, voids
// the sessions that were open.
func (d *Directory) ChangeUserIn(tx store.Tx, tenantID, objectID string, change func(*User) error) (User, error) {
	old, doc, err := d.user(tx, tenantID, objectID)
	if err != nil {
		return old, err
	}
	u := old
	u.BusinessPhones = slices.Clone(old.BusinessPhones)
	if err := change(&u); err != nil {
		return old, err
	}
	u.ObjectID, u.TenantID, u.UserType, u.DirectoryRoles, u.Guesthood, u.Created = old.ObjectID, old.TenantID, old.UserType, old.DirectoryRoles, old.Guesthood, old.Created
	if err := d.checkUser(tx, old, u); err != nil {
		return old, err
	}
	if !u.AccountEnabled && old.AccountEnabled {
		if err := d.keepsAdministrator(tx, Object{User: &old}); err != nil {
			return old, err
		}
	}
	if u.UserType == Guest && u.Password.Set() {
		return old, fmt.Errorf("a guest's password is kept by the home tenant: %w", ErrInvalid)
	}
	if !u.AccountEnabled || !u.Password.Same(old.Password) {
		u.SessionsFrom = d.now().UTC()
	}
	doc.Terms = u.terms()
	return u, record.Write(tx, doc, u)
}

func (d *Directory) changeUser(tx store.Tx, tenantID, objectID string, change func(*User)) error {
	u, doc, err := d.user(tx, tenantID, objectID)
	if err != nil {
		return err
	}
	change(&u)
	doc.Terms = u.terms()
	return record.Write(tx, doc, u)
}
