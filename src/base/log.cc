#include "base/log.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <string>

#include "base/clock.h"

namespace mizzen::log {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"trace",   "debug", "info",
                                                    "warning", "error", "off"};
std::atomic<Level> g_level = Level::kInfo;

}  // namespace

std::optional<Level> parse_level(std::string_view name) {
  if (name == "warn") return Level::kWarning;
  if (name == "critical") return Level::kError;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Level>(i);
  }
  return std::nullopt;
}

std::string_view to_string(Level level) { return kNames[static_cast<std::size_t>(level)]; }

void set_level(Level level) { g_level.store(level, std::memory_order_relaxed); }

bool enabled(Level level) { return level >= g_level.load(std::memory_order_relaxed); }

void write(Level level, std::string_view component, std::string_view message) {
  // One write call per line keeps lines of several threads and processes whole.
  std::string line = fmt::format("{} {:7} {} {}\n", rfc3339_millis(system_clock().wall()),
                                 to_string(level), component, message);
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace mizzen::log
