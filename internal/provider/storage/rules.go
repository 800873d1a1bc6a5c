package storage

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

var (
	accountNames   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	containerNames = regexp.MustCompile(`^(\$root|\$logs|[a-z0-9](-?[a-z0-9])*)$`)
	skus           = []string{"Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Standard_ZRS", "Standard_GZRS", "Standard_RAGZRS", "Premium_LRS", "Premium_ZRS"}
	kinds          = []string{"StorageV2", "Storage", "BlobStorage", "BlockBlobStorage"}
)

const nameRule = "%s is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only."

func validName(n string) bool { return accountNames.MatchString(n) }

func accountName(n string) *arm.Error {
	if validName(n) {
		return nil
	}
	return arm.Errorf(400, "AccountNameInvalid", nameRule, n)
}

func serviceName(n string) *arm.Error {
	if n == "default" {
		return nil
	}
	return invalid("blobServicesName", "The blob service of a storage account is named 'default'.")
}

func containerName(n string) *arm.Error {
	if (len(n) >= 3 && len(n) <= 63) && containerNames.MatchString(n) {
		return nil
	}
	return arm.Errorf(400, "ContainerNameInvalid", "The specified container name '%.100s' is invalid: 3 to 63 lower-case letters, digits and single '-', which neither begin nor end it.", n)
}

// ContainerName says whether a container can have this name.
func ContainerName(n string) bool { return containerName(n) == nil }

func invalid(target, format string, args ...any) *arm.Error {
	return arm.Errorf(400, "InvalidValuesForRequestParameters", format, args...).At(target)
}

func unsupported(target, what string) *arm.Error {
	return arm.Errorf(400, "NotSupported", "%s is not supported by this installation.", what).At(target)
}

// allowed brings a value to its canonical case; false when it is none of them.
func allowed(value *string, among []string) bool {
	i := slices.IndexFunc(among, func(s string) bool { return strings.EqualFold(s, *value) })
	if i >= 0 {
		*value = among[i]
	}
	return i >= 0
}

func validate(r *resource) []*arm.Error {
	var faults []*arm.Error
	add := func(wrong bool, f *arm.Error) {
		if wrong {
			faults = append(faults, f)
		}
	}
	if r.SKU == nil || r.SKU.Name == "" {
		faults = append(faults, arm.Errorf(400, "MissingRequiredProperty", "The property 'sku.name' is required to create a storage account.").At("sku.name"))
	} else {
		add(!allowed(&r.SKU.Name, skus), invalid("sku.name", "The value '%.80s' of 'sku.name' is not allowed. Allowed values are: %s.", r.SKU.Name, strings.Join(skus, ", ")))
	}
	add(strings.EqualFold(r.Kind, "FileStorage"), unsupported("kind", "The account kind FileStorage (file shares)"))
	add(r.Kind != "" && !strings.EqualFold(r.Kind, "FileStorage") && !allowed(&r.Kind, kinds),
		invalid("kind", "The value '%.80s' of 'kind' is not allowed. Allowed values are: %s.", r.Kind, strings.Join(kinds, ", ")))
	return append(faults, missing(&r.Properties)...)
}

// missing refuses, each by its name, what an account may ask for and this server cannot do.
func missing(p *Properties) []*arm.Error {
	var faults []*arm.Error
	add := func(wrong bool, target, what string) {
		if wrong {
			faults = append(faults, unsupported("properties."+target, what))
		}
	}
	add(isTrue(p.Hierarchical), "isHnsEnabled", "The hierarchical namespace (isHnsEnabled)")
	add(isTrue(p.SFTP), "isSftpEnabled", "SFTP (isSftpEnabled)")
	add(isTrue(p.NFS), "isNfsV3Enabled", "NFS 3.0 (isNfsV3Enabled)")
	add(present(p.CustomDomain), "customDomain", "A custom domain")
	add(p.Encryption != nil && p.Encryption.KeySource == "Microsoft.Keyvault", "encryption.keySource", "Encryption with a customer's key (Microsoft.Keyvault)")
	add(p.Encryption != nil && isTrue(p.Encryption.Twice), "encryption.requireInfrastructureEncryption", "Encryption twice over (requireInfrastructureEncryption)")
	add(p.SASPolicy != nil && p.SASPolicy.Action == "Block", "sasPolicy", "A policy that blocks signatures of a long life (sasPolicy with expirationAction 'Block')")
	add(p.CopyScope != "", "allowedCopyScope", "A bound on the sources of copies (allowedCopyScope)")
	add(p.Immutable.on(), "immutableStorageWithVersioning", "Immutable storage")
	add(p.MinimumTLS == "TLS1_3", "minimumTlsVersion", "A minimum of TLS 1.3 (1.2 is required of everybody)")
	add(p.HTTPSOnly != nil && !*p.HTTPSOnly, "supportsHttpsTrafficOnly", "Access without TLS (supportsHttpsTrafficOnly: false)")
	add(p.PublicNetworkAccess != "" && p.PublicNetworkAccess != "Enabled", "publicNetworkAccess", "Public network access '"+p.PublicNetworkAccess+"' (private endpoints)")
	if n := p.NetworkACLs; n != nil {
		add(n.DefaultAction == "Deny" || len(n.IPRules)+len(n.VirtualRules) > 0, "networkAcls", "An account's firewall (networkAcls other than Allow)")
	}
	return faults
}

func present(raw json.RawMessage) bool {
	switch strings.TrimSpace(string(raw)) {
	case "", "null", "{}":
		return false
	}
	return true
}

// change holds what may not become different.
func change(old, next *resource) error {
	if next.Kind == "" {
		next.Kind = old.Kind
	}
	if !strings.EqualFold(old.Kind, next.Kind) && next.Kind != "StorageV2" {
		return arm.Errorf(409, "AccountPropertyCannotBeUpdated", "The property 'kind' was specified in the input, but it cannot be updated as it is read-only.").At("kind")
	}
	premium := func(r *resource) bool { return strings.HasPrefix(r.SKU.Name, "Premium") }
	if premium(old) != premium(next) {
		return arm.Errorf(409, "StorageAccountTypeConversionNotAllowed", "Storage account type cannot be changed to %s.", next.SKU.Name).At("sku.name")
	}
	return nil
}

func validateService(s *control.Resource[Service]) []*arm.Error {
	var faults []*arm.Error
	var policy struct{ Enabled bool }
	if present(s.Properties.Retention) && (json.Unmarshal(s.Properties.Retention, &policy) != nil || policy.Enabled) {
		faults = append(faults, unsupported("properties.deleteRetentionPolicy", "Soft deletion of blobs"))
	}
	var cors struct{ CorsRules []json.RawMessage }
	if present(s.Properties.CORS) && (json.Unmarshal(s.Properties.CORS, &cors) != nil || len(cors.CorsRules) > 0) {
		faults = append(faults, unsupported("properties.cors", "CORS rules of the blob service"))
	}
	p := &s.Properties
	for _, f := range []struct {
		on           bool
		target, what string
	}{
		{isTrue(p.Versioning), "isVersioningEnabled", "Versions of blobs"}, {isTrue(p.Snapshots), "automaticSnapshotPolicyEnabled", "Snapshots of blobs"},
		{p.Containers.on(), "containerDeleteRetentionPolicy", "Soft deletion of containers"}, {p.Restore.on(), "restorePolicy", "Restoring blobs to a point in time"},
		{p.Feed.on(), "changeFeed", "The change feed"}, {p.Access.on(), "lastAccessTimeTrackingPolicy", "Tracking of the last access"},
	} {
		if f.on {
			faults = append(faults, unsupported("properties."+f.target, f.what))
		}
	}
	return faults
}

// validateContainer refuses what would protect the bytes of a container, and does not here.
func validateContainer(c *control.Resource[Container]) []*arm.Error {
	var faults []*arm.Error
	if c.Properties.Versions.on() {
		faults = append(faults, unsupported("properties.immutableStorageWithVersioning", "Immutable storage"))
	}
	if scope := c.Properties.DefaultScope; scope != "" && scope != "$account-encryption-key" {
		faults = append(faults, unsupported("properties.defaultEncryptionScope", "An encryption scope"))
	}
	if c.Properties.DenyOverride {
		faults = append(faults, unsupported("properties.denyEncryptionScopeOverride", "An encryption scope"))
	}
	return faults
}

type availability struct {
	Available bool   `json:"nameAvailable" arm:"always"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
}

// checkName tells whether a name can be had. That a name is taken is public, as in Azure: the names are hosts.
func (p *Provider) checkName(_ context.Context, c *control.Call) (any, error) {
	var body struct{ Name, Type string }
	if err := json.Unmarshal(c.Body, &body); err != nil {
		return nil, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	if !strings.EqualFold(body.Type, AccountType) {
		return nil, invalid("type", "The value '%.80s' of 'type' is not allowed. Allowed values are: %s.", body.Type, AccountType)
	}
	if f := accountName(body.Name); f != nil {
		return availability{Reason: "AccountNameInvalid", Message: f.Message}, nil
	}
	_, err := holder(c.Tx, body.Name)
	if errors.Is(err, store.ErrNotFound) {
		return availability{Available: true}, nil
	}
	return availability{Reason: "AlreadyExists", Message: "The storage account named " + body.Name + " is already taken."}, err
}
