package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// The sign-in audiences that an application may have, by Microsoft Graph's names.
const (
	SingleTenant = "AzureADMyOrg"
	MultiTenant  = "AzureADMultipleOrgs"
	// MultiTenantAndPersonal is what the how-to registers. There are no personal Microsoft accounts here, so it means as
	// much as MultiTenant.
	MultiTenantAndPersonal = "AzureADandPersonalMicrosoftAccount"
)

// AzureCLI is the client ID under which az signs in users. It is a public client of every installation.
const AzureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// MicrosoftServices is the tenant in which Microsoft's own applications are at home. No tenant here may have its ID.
const MicrosoftServices = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"

// Application is an application registration, the same in every tenant.
type Application struct {
	AppID          string `json:"appId"`    // the client ID
	ObjectID       string `json:"objectId"` // of the registration, not of a service principal
	TenantID       string `json:"tenantId"` // where it is registered; its home
	DisplayName    string `json:"displayName"`
	SignInAudience string `json:"signInAudience"` // SingleTenant, MultiTenant or MultiTenantAndPersonal
	// TokenVersion is requestedAccessTokenVersion: the version of access tokens whose audience is this application;
	// 0 means 1. It says nothing about tokens that the application itself asks for.
	TokenVersion int  `json:"tokenVersion,omitempty"`
	PublicClient bool `json:"publicClient,omitempty"` // isFallbackPublicClient: it cannot keep a secret and must not send one for the redirect URIs of a public client
	Detail
	Credentials
	Owners  []string  `json:"owners,omitempty"` // object IDs of users and service principals of the home tenant
	Created time.Time `json:"created"`
}

// Multi says whether tenants other than the home tenant may have a service principal of it.
func (a Application) Multi() bool {
	return a.SignInAudience == MultiTenant || a.SignInAudience == MultiTenantAndPersonal
}

func (a Application) terms() []string {
	terms := []string{"tenant:" + a.TenantID, "object:" + a.ObjectID}
	for _, uri := range a.IdentifierURIs {
		terms = append(terms, uriTerm(uri))
	}
	for _, id := range a.Owners {
		terms = append(terms, "owner:"+id)
	}
	return terms
}

func applicationKey(appID string) string { return "directory/applications/" + strings.ToLower(appID) }

// CreateApplication registers an application in the tenant that a.TenantID names and makes its service principal there.
// Empty IDs are replaced by new ones, an empty audience by SingleTenant. Secrets are added with AddSecret.
func (d *Directory) CreateApplication(ctx context.Context, a Application) (Application, ServicePrincipal, error) {
	var sp ServicePrincipal
	a, err := update(ctx, d, func(tx store.Tx) (out Application, err error) {
		out, sp, err = d.CreateApplicationIn(tx, a)
		return out, err
	})
	return a, sp, err
}

// CreateApplicationIn is CreateApplication as a part of tx.
func (d *Directory) CreateApplicationIn(tx store.Tx, a Application) (Application, ServicePrincipal, error) {
	a, err := d.RegisterApplicationIn(tx, a)
	if err != nil {
		return Application{}, ServicePrincipal{}, err
	}
	sp, err := d.CreateServicePrincipalIn(tx, a.TenantID, a.AppID)
	return a, sp, err
}

// RegisterApplicationIn registers an application without a service principal, as Graph's POST /applications does.
func (d *Directory) RegisterApplicationIn(tx store.Tx, a Application) (Application, error) {
	home, err := d.TenantIn(tx, a.TenantID)
	if err != nil {
		return Application{}, err
	}
	if a.AppID, err = rule.NewOrGiven("application ID", a.AppID); err != nil {
		return Application{}, err
	}
	a.ObjectID, a.TenantID, a.Created = uuid.NewString(), home.ID, d.now().UTC()
	if a.SignInAudience == "" {
		a.SignInAudience = SingleTenant
	}
	a.Secrets = nil
	if free, err := record.Absent(tx, applicationKey(a.AppID)); err != nil {
		return Application{}, err
	} else if !free || firstParty(a.AppID) {
		return Application{}, fmt.Errorf("application %s: %w", a.AppID, ErrExists)
	}
	if err := d.checkApplication(tx, Application{}, &a); err != nil {
		return Application{}, err
	}
	return a, record.Write(tx, store.Document{Key: applicationKey(a.AppID), Kind: KindApplication, Terms: a.terms()}, a)
}

// checkApplication finds what is wrong with an application that replaces old (empty: nothing).
func (d *Directory) checkApplication(tx store.Tx, old Application, a *Application) error {
	if err := rule.CheckName("application name", a.DisplayName); err != nil {
		return err
	}
	switch a.SignInAudience {
	case SingleTenant, MultiTenant, MultiTenantAndPersonal:
	default:
		return fmt.Errorf("sign-in audience %.64q is not supported, only %s, %s and %s are: %w",
			a.SignInAudience, SingleTenant, MultiTenant, MultiTenantAndPersonal, ErrInvalid)
	}
	if a.TokenVersion < 0 || a.TokenVersion > 2 {
		return fmt.Errorf("access token version %d is neither 1 nor 2: %w", a.TokenVersion, ErrInvalid)
	}
	if err := a.Detail.Check(); err != nil {
		return err
	}
	if err := a.Credentials.Check(); err != nil {
		return err
	}
	if len(a.Owners) > maxOwners {
		return fmt.Errorf("an application has at most %d owners: %w", maxOwners, ErrInvalid)
	}
	return d.checkURIs(tx, old, *a)
}

// Application returns the application with a client ID, Microsoft's own included, or ErrApplicationNotFound.
func (d *Directory) Application(ctx context.Context, appID string) (Application, error) {
	return view(ctx, d, func(tx store.Tx) (Application, error) { return d.ApplicationIn(tx, appID) })
}

// ApplicationIn is Application as a part of tx.
func (d *Directory) ApplicationIn(tx store.Tx, appID string) (Application, error) {
	a, _, err := d.application(tx, appID)
	return a, err
}

func (d *Directory) application(tx store.Tx, appID string) (Application, store.Document, error) {
	missing := fmt.Errorf("application %.64q: %w", appID, ErrApplicationNotFound)
	id := rule.CanonicalID(appID)
	if id == "" {
		return Application{}, store.Document{}, missing
	}
	if id == AzureCLI {
		return Application{AppID: AzureCLI, TenantID: MicrosoftServices, DisplayName: "Microsoft Azure CLI",
			SignInAudience: MultiTenant, PublicClient: true}, store.Document{}, nil
	}
	return record.Read[Application](tx, applicationKey(id), missing)
}

// ApplicationByObjectIn returns the application of a tenant whose registration has an object ID, or ErrApplicationNotFound.
func (d *Directory) ApplicationByObjectIn(tx store.Tx, tenantID, objectID string) (Application, error) {
	t, o := rule.CanonicalID(tenantID), rule.CanonicalID(objectID)
	missing := fmt.Errorf("application object %.64q: %w", objectID, ErrApplicationNotFound)
	if t == "" || o == "" {
		return Application{}, missing
	}
	return record.One[Application](tx, store.Query{Kind: KindApplication, All: []string{"object:" + o, "tenant:" + t}}, missing)
}

// ChangeApplicationIn changes an application by its client ID: change gets a copy to work on, and the result is checked as a
// new application would be. IDs and home stay as they were. A new name is also that of its service principal at home.
func (d *Directory) ChangeApplicationIn(tx store.Tx, appID string, change func(*Application) error) (Application, error) {
	old, doc, err := d.application(tx, appID)
	if err != nil {
		return old, err
	}
	if firstParty(old.AppID) {
		return old, fmt.Errorf("application %s is not registered here: %w", old.AppID, ErrInvalid)
	}
	var a Application
	if err := record.Decode(doc, &a); err != nil {
		return a, err
	}
	if err := change(&a); err != nil {
		return old, err
	}
	a.AppID, a.ObjectID, a.TenantID, a.Created = old.AppID, old.ObjectID, old.TenantID, old.Created
	if err := d.checkApplication(tx, old, &a); err != nil {
		return old, err
	}
	doc.Terms = a.terms()
	if err := record.Write(tx, doc, a); err != nil {
		return old, err
	}
	if a.DisplayName == old.DisplayName {
		return a, nil
	}
	err = d.changePrincipal(tx, a.TenantID, a.AppID, func(p *ServicePrincipal) { p.DisplayName = a.DisplayName })
	if errors.Is(err, ErrPrincipalNotFound) {
		err = nil
	}
	return a, err
}

// Applications lists the applications that are registered in a tenant.
func (d *Directory) Applications(ctx context.Context, tenantID string) ([]Application, error) {
	return view(ctx, d, func(tx store.Tx) ([]Application, error) { return d.ApplicationsIn(tx, tenantID) })
}

// ApplicationsIn is Applications as a part of tx.
func (d *Directory) ApplicationsIn(tx store.Tx, tenantID string) ([]Application, error) {
	return record.List[Application](tx, store.Query{Kind: KindApplication, All: []string{"tenant:" + rule.CanonicalID(tenantID)}})
}

// firstParty says whether a client ID belongs to Microsoft's services and clients, which every installation knows: the
// CLI, and the resources for which tokens are issued (their IDs are well-known; Azure documents them for consent).
func firstParty(appID string) bool {
	switch appID {
	case AzureCLI,
		"797f4846-ba00-4fd7-ba43-dac1f8f63013", // Azure Resource Manager
		"00000003-0000-0000-c000-000000000000", // Microsoft Graph
		"e406a681-f3d4-42a8-90b6-c2b029497af1": // Azure Storage
		return true
	}
	return false
}
