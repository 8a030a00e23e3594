#include <array>
#include <utility>

#include "proxy/facts.h"

namespace mizzen::proxy {
namespace {
// Envoy's order of printing (StreamInfo::ResponseFlagUtils).
constexpr std::array<std::pair<Flag, const char*>, 23> kNames = {{
    {Flag::kUH, "UH"},   {Flag::kUF, "UF"},       {Flag::kUO, "UO"},   {Flag::kNR, "NR"},
    {Flag::kURX, "URX"}, {Flag::kDC, "DC"},       {Flag::kUT, "UT"},   {Flag::kLR, "LR"},
    {Flag::kUR, "UR"},   {Flag::kUC, "UC"},       {Flag::kDI, "DI"},   {Flag::kFI, "FI"},
    {Flag::kRL, "RL"},   {Flag::kUAEX, "UAEX"},   {Flag::kSI, "SI"},   {Flag::kIH, "IH"},
    {Flag::kDPE, "DPE"}, {Flag::kUMSDR, "UMSDR"}, {Flag::kUPE, "UPE"}, {Flag::kNC, "NC"},
    {Flag::kDT, "DT"},   {Flag::kOM, "OM"},       {Flag::kSU, "SU"},
}};
}  // namespace

std::string flags_text(std::uint32_t flags) {
  if (flags == 0) return "-";
  std::string out;
  for (const auto& [flag, name] : kNames) {
    if ((flags & static_cast<std::uint32_t>(flag)) == 0) continue;
    if (!out.empty()) out += ',';
    out += name;
  }
  return out;
}

}  // namespace mizzen::proxy
