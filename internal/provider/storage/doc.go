// Package storage is the provider Microsoft.Storage: storage accounts, their keys and their blob containers.
//
// It owns the documents of accounts and containers, the names that accounts have all over the installation, and the
// access keys, which lie sealed. It does not speak the Blob service's protocol: that door finds an account by its host
// here. Files, queues, tables and the hierarchical namespace are refused by name.
//
//	PUT storageAccounts/{a} ─▶ name reserved, two keys made and sealed, blobServices/default ─▶ 200
//	POST listKeys ─▶ keys opened; listAccountSas, listServiceSas ─▶ a signature made with one
//	https://{a}.blob.core.windows.net ─▶ Find ─▶ Account (keys, rules)
package storage
