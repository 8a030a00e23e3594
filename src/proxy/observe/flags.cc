#include "proxy/facts.h"

namespace mizzen::proxy {
namespace {
struct Name {
  Flag flag;
  std::string_view name;
  std::string_view long_name;
};
// Envoy's order of printing (StreamInfo::ResponseFlagUtils).
constexpr Name kNames[] = {
    {Flag::kUH, "UH", "NoHealthyUpstream"},
    {Flag::kUF, "UF", "UpstreamConnectionFailure"},
    {Flag::kUO, "UO", "UpstreamOverflow"},
    {Flag::kNR, "NR", "NoRouteFound"},
    {Flag::kURX, "URX", "UpstreamRetryLimitExceeded"},
    {Flag::kDC, "DC", "DownstreamConnectionTermination"},
    {Flag::kUT, "UT", "UpstreamRequestTimeout"},
    {Flag::kLR, "LR", "LocalReset"},
    {Flag::kUR, "UR", "UpstreamRemoteReset"},
    {Flag::kUC, "UC", "UpstreamConnectionTermination"},
    {Flag::kDI, "DI", "DelayInjected"},
    {Flag::kFI, "FI", "FaultInjected"},
    {Flag::kRL, "RL", "RateLimited"},
    {Flag::kUAEX, "UAEX", "UnauthorizedExternalService"},
    {Flag::kSI, "SI", "StreamIdleTimeout"},
    {Flag::kIH, "IH", "InvalidEnvoyRequestHeaders"},
    {Flag::kDPE, "DPE", "DownstreamProtocolError"},
    {Flag::kUMSDR, "UMSDR", "UpstreamMaxStreamDurationReached"},
    {Flag::kUPE, "UPE", "UpstreamProtocolError"},
    {Flag::kNC, "NC", "NoClusterFound"},
    {Flag::kDT, "DT", "DurationTimeout"},
    {Flag::kOM, "OM", "OverloadManagerTerminated"},
    {Flag::kSU, "SU", "DestinationUnknown"},
};

std::string names_of(std::uint32_t flags, std::string_view Name::*which) {
  if (flags == 0) return "-";
  std::string out;
  for (const Name& name : kNames) {
    if ((flags & static_cast<std::uint32_t>(name.flag)) == 0) continue;
    if (!out.empty()) out += ',';
    out += name.*which;
  }
  return out;
}

}  // namespace

std::string flags_text(std::uint32_t flags) { return names_of(flags, &Name::name); }

std::string long_flags_text(std::uint32_t flags) { return names_of(flags, &Name::long_name); }

}  // namespace mizzen::proxy
