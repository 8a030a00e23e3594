#include "route/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace mizzen::route {
namespace {

struct RetryWord {
  std::string_view word;
  std::uint32_t bit;
};
constexpr RetryWord kRetryWords[] = {
    {"5xx", RetryPolicy::k5xx},
    {"gateway-error", RetryPolicy::kGatewayError},
    {"reset", RetryPolicy::kReset},
    {"connect-failure", RetryPolicy::kConnectFailure},
    {"retriable-4xx", RetryPolicy::kRetriable4xx},
    {"refused-stream", RetryPolicy::kRefusedStream},
    {"retriable-status-codes", RetryPolicy::kRetriableStatusCodes},
    {"retriable-headers", RetryPolicy::kRetriableHeaders},
    {"reset-before-request", RetryPolicy::kResetBeforeRequest},
    {"envoy-ratelimited", RetryPolicy::kEnvoyRateLimited},
    {"http3-post-connect-failure", RetryPolicy::kHttp3PostConnectFailure},
    {"cancelled", RetryPolicy::kGrpcCancelled},
    {"deadline-exceeded", RetryPolicy::kGrpcDeadlineExceeded},
    {"resource-exhausted", RetryPolicy::kGrpcResourceExhausted},
    {"unavailable", RetryPolicy::kGrpcUnavailable},
    {"internal", RetryPolicy::kGrpcInternal},
};

}  // namespace

std::uint32_t parse_retry_on(std::string_view text, std::vector<std::string>* unknown) {
  std::uint32_t bits = 0;
  for (auto part : split(text, ',')) {
    auto word = trim(part);
    if (word.empty()) continue;
    auto found = std::ranges::find(kRetryWords, word, &RetryWord::word);
    if (found != std::end(kRetryWords)) {
      bits |= found->bit;
    } else if (unknown) {
      unknown->emplace_back(word);
    }
  }
  return bits;
}

Status Table::index() {
  auto twice = [this](std::size_t a, std::size_t b, const std::string& domain) {
    return fail(
        Code::kInvalid,
        fmt::format("domain '{}' stands in virtual hosts '{}' and '{}': it may stand in one "
                    "only",
                    domain, hosts[a].name, hosts[b].name));
  };
  auto add_wildcard = [&](std::vector<Wildcard>& list, std::string text, std::size_t host,
                          const std::string& domain) -> Status {
    auto found = std::ranges::find(list, text, &Wildcard::text);
    if (found != list.end()) return twice(found->host, host, domain);
    list.push_back({std::move(text), host});
    return {};
  };
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    for (const auto& written : hosts[i].domains) {
      std::string domain = lower(written);
      if (domain.empty()) {
        return fail(Code::kInvalid,
                    fmt::format("virtual host '{}' has an empty domain", hosts[i].name));
      }
      if (domain == "*") {
        if (any) return twice(*any, i, domain);
        any = i;
      } else if (domain.front() == '*') {
        MIZZEN_CHECKED(add_wildcard(suffixes, domain.substr(1), i, domain));
      } else if (domain.back() == '*') {
        MIZZEN_CHECKED(add_wildcard(prefixes, domain.substr(0, domain.size() - 1), i, domain));
      } else if (auto [entry, added] = exact.try_emplace(domain, i); !added) {
        return twice(entry->second, i, domain);
      }
    }
  }
  auto longer = [](const Wildcard& a, const Wildcard& b) { return a.text.size() > b.text.size(); };
  std::ranges::stable_sort(suffixes, longer);
  std::ranges::stable_sort(prefixes, longer);
  return {};
}

}  // namespace mizzen::route
