// SPIFFE identities of workloads: spiffe://<trust domain>/ns/<namespace>/sa/<service account>.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace mizzen::pki {

struct SpiffeId {
  std::string trust_domain;
  std::string name_space;
  std::string service_account;

  friend bool operator==(const SpiffeId&, const SpiffeId&) = default;
  std::string to_string() const;
};

// Istio's form of the path (SPIFFE-ID 2). Error kInvalid for any other URI.
Result<SpiffeId> parse_spiffe(std::string_view uri);
// The trust domain of any SPIFFE URI; empty when `uri` is none.
std::string_view trust_domain_of(std::string_view uri);

}  // namespace mizzen::pki
