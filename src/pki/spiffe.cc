#include "pki/spiffe.h"

#include "base/strings.h"

namespace mizzen::pki {

namespace {
constexpr std::string_view kScheme = "spiffe://";
}

std::string SpiffeId::to_string() const {
  std::string out(kScheme);
  out.append(trust_domain).append("/ns/").append(name_space).append("/sa/").append(service_account);
  return out;
}

std::string_view trust_domain_of(std::string_view uri) {
  if (!uri.starts_with(kScheme)) return {};
  uri.remove_prefix(kScheme.size());
  return uri.substr(0, uri.find('/'));
}

Result<SpiffeId> parse_spiffe(std::string_view uri) {
  std::string_view domain = trust_domain_of(uri);
  if (!domain.empty() && uri.size() <= 2048) {
    auto parts = split(uri.substr(kScheme.size() + domain.size()), '/');  // "", ns, N, sa, S
    bool shaped = parts.size() == 5 && parts[1] == "ns" && parts[3] == "sa";
    if (shaped && !parts[2].empty() && !parts[4].empty()) {
      return SpiffeId{std::string(domain), std::string(parts[2]), std::string(parts[4])};
    }
  }
  return fail(Code::kInvalid, "\"" + std::string(uri.substr(0, 200)) +
                                  "\" is not spiffe://<trust domain>/ns/<namespace>/sa/<account>");
}

}  // namespace mizzen::pki
