// Package credential is how applications and people prove who they are: secrets, certificates, federated credentials, passwords.
//
// It owns their forms, limits and hashes; texts are never kept. It knows neither the store nor whose they are; directory keeps them with
// their application, service principal or user:
//
//	NewSecret, NewCertificate, NewPassword ──▶ a value to store ──▶ Verify, PublicKey, Matches
package credential
