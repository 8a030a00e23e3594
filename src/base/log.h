// The log: one line per event on standard error, `time level component message`.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace mizzen::log {

enum class Level : std::uint8_t { kTrace, kDebug, kInfo, kWarning, kError, kOff };

// "trace" ... "off", also "warn" and "critical" as Envoy's flags have them.
std::optional<Level> parse_level(std::string_view name);
std::string_view to_string(Level level);

// Both may be called from any thread at any time.
void set_level(Level level);
bool enabled(Level level);

// Writes one line; lines of several threads do not mix.
void write(Level level, std::string_view component, std::string_view message);

template <class... Args>
void at(Level level, std::string_view component, fmt::format_string<Args...> format,
        Args&&... args) {
  if (enabled(level)) write(level, component, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void debug(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  at(Level::kDebug, component, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  at(Level::kInfo, component, format, std::forward<Args>(args)...);
}
template <class... Args>
void warning(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  at(Level::kWarning, component, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  at(Level::kError, component, format, std::forward<Args>(args)...);
}

}  // namespace mizzen::log
