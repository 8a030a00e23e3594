// Signed tokens in compact form (RFC 7519 in RFC 7515): service account tokens. Claims stay text,
// so that this folder needs no JSON; the caller reads and judges them (issuer, audience, expiry).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "pki/key.h"

namespace mizzen::pki {

// ES256 with a P-256 key, RS256 with an RSA key. `claims` is a JSON object; `key_id` goes to the
// header.
Result<std::string> sign_jwt(std::string_view claims, std::string_view key_id,
                             const PrivateKey& key);

// The claims of a token whose signature `key` verifies. The algorithm is the key's, never the
// token's word; kUnauthenticated otherwise. At most 64 KiB.
Result<std::string> verify_jwt(std::string_view token, const PublicKey& key);

}  // namespace mizzen::pki
