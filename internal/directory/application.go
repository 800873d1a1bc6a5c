package directory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/store"
)

// The sign-in audiences that an application may have, by Microsoft Graph's names.
const (
	SingleTenant = "AzureADMyOrg"
	MultiTenant  = "AzureADMultipleOrgs"
)

// AzureCLI is the client ID under which az signs in users. It is a public client of every installation.
const AzureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// microsoftServices is the tenant in which Microsoft's own applications are at home. No tenant here may have its ID.
const microsoftServices = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"

// Application is an application registration, the same in every tenant.
type Application struct {
	AppID          string `json:"appId"`    // the client ID
	ObjectID       string `json:"objectId"` // of the registration, not of a service principal
	TenantID       string `json:"tenantId"` // where it is registered; its home
	DisplayName    string `json:"displayName"`
	SignInAudience string `json:"signInAudience"` // SingleTenant or MultiTenant
	// TokenVersion is requestedAccessTokenVersion: the version of access tokens whose audience is this application;
	// 0 means 1. It says nothing about tokens that the application itself asks for.
	TokenVersion int       `json:"tokenVersion,omitempty"`
	PublicClient bool      `json:"publicClient,omitempty"` // it cannot keep a secret and must not send one
	Secrets      []Secret  `json:"secrets,omitempty"`
	Created      time.Time `json:"created"`
}

// Multi says whether tenants other than the home tenant may have a service principal of it.
func (a Application) Multi() bool { return a.SignInAudience == MultiTenant }

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
	fail := func(err error) (Application, ServicePrincipal, error) { return Application{}, ServicePrincipal{}, err }
	home, err := d.TenantIn(tx, a.TenantID)
	if err != nil {
		return fail(err)
	}
	if err := a.complete(home); err != nil {
		return fail(err)
	}
	if free, err := absent(tx, applicationKey(a.AppID)); err != nil {
		return fail(err)
	} else if !free || firstParty(a.AppID) {
		return fail(fmt.Errorf("application %s: %w", a.AppID, ErrExists))
	}
	a.Created = d.now().UTC()
	doc := store.Document{Key: applicationKey(a.AppID), Kind: KindApplication,
		Terms: []string{"tenant:" + a.TenantID, "object:" + a.ObjectID}}
	if err := write(tx, doc, a); err != nil {
		return fail(err)
	}
	sp, err := d.CreateServicePrincipalIn(tx, a.TenantID, a.AppID)
	return a, sp, err
}

// complete checks what the caller chose and fills in the rest.
func (a *Application) complete(home Tenant) (err error) {
	if err := checkName("application name", a.DisplayName); err != nil {
		return err
	}
	if a.AppID, err = newOrGiven("application ID", a.AppID); err != nil {
		return err
	}
	if a.SignInAudience == "" {
		a.SignInAudience = SingleTenant
	}
	if a.SignInAudience != SingleTenant && a.SignInAudience != MultiTenant {
		return fmt.Errorf("sign-in audience %.64q is not supported, only %s and %s are: %w",
			a.SignInAudience, SingleTenant, MultiTenant, ErrInvalid)
	}
	if a.TokenVersion < 0 || a.TokenVersion > 2 {
		return fmt.Errorf("access token version %d is neither 1 nor 2: %w", a.TokenVersion, ErrInvalid)
	}
	a.ObjectID, a.TenantID, a.Secrets = uuid.NewString(), home.ID, nil
	return nil
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
	id := canonicalID(appID)
	if id == "" {
		return Application{}, store.Document{}, missing
	}
	if id == AzureCLI {
		return Application{AppID: AzureCLI, TenantID: microsoftServices, DisplayName: "Microsoft Azure CLI",
			SignInAudience: MultiTenant, PublicClient: true}, store.Document{}, nil
	}
	return read[Application](tx, applicationKey(id), missing)
}

// Applications lists the applications that are registered in a tenant.
func (d *Directory) Applications(ctx context.Context, tenantID string) ([]Application, error) {
	return view(ctx, d, func(tx store.Tx) ([]Application, error) {
		return list[Application](tx, store.Query{Kind: KindApplication, All: []string{"tenant:" + canonicalID(tenantID)}})
	})
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
