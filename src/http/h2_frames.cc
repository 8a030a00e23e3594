#include "http/h2_frames.h"

#include <array>
#include <bit>
#include <cstring>
#include <iterator>

namespace mizzen::http::h2 {

namespace {

void write_u16(char* to, std::uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(to, &value, sizeof value);
}

void write_u32(char* to, std::uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(to, &value, sizeof value);
}

}  // namespace

static_assert(std::endian::native == std::endian::little);

std::string_view to_string(ErrorCode code) {
  constexpr std::string_view kNames[] = {"NO_ERROR",
                                         "PROTOCOL_ERROR",
                                         "INTERNAL_ERROR",
                                         "FLOW_CONTROL_ERROR",
                                         "SETTINGS_TIMEOUT",
                                         "STREAM_CLOSED",
                                         "FRAME_SIZE_ERROR",
                                         "REFUSED_STREAM",
                                         "CANCEL",
                                         "COMPRESSION_ERROR",
                                         "CONNECT_ERROR",
                                         "ENHANCE_YOUR_CALM",
                                         "INADEQUATE_SECURITY",
                                         "HTTP_1_1_REQUIRED"};
  const auto index = static_cast<std::size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

std::uint16_t read_u16(const char* from) {
  std::uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap16(value);
}

std::uint32_t read_u32(const char* from) {
  std::uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap32(value);
}

FrameHead read_frame_head(const char* from) {
  const std::uint32_t first = read_u32(from);
  return {first >> 8, static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(from[4]),
          read_u32(from + 5) & kMostStreamId};
}

void write_frame_head(char* to, std::size_t size, FrameType type, std::uint8_t flags,
                      std::uint32_t stream) {
  write_u32(to, static_cast<std::uint32_t>(size << 8) | static_cast<std::uint32_t>(type));
  to[4] = static_cast<char>(flags);
  write_u32(to + 5, stream);
}

bool strip_padding(const FrameHead& head, std::string_view& payload) {
  if (!head.has(kPadded)) return true;
  if (payload.empty()) return false;
  const std::size_t padding = static_cast<unsigned char>(payload[0]);
  payload.remove_prefix(1);
  if (padding > payload.size()) return false;
  payload.remove_suffix(padding);
  return true;
}

void put_frame(Output& to, FrameType type, std::uint8_t flags, std::uint32_t stream,
               std::string_view payload) {
  char head[kFrameHead];
  write_frame_head(head, payload.size(), type, flags, stream);
  to.append({head, sizeof head});
  to.append(payload);
}

void put_reset(Output& to, std::uint32_t stream, ErrorCode code) {
  char payload[4];
  write_u32(payload, static_cast<std::uint32_t>(code));
  put_frame(to, FrameType::kReset, 0, stream, {payload, sizeof payload});
}

void put_window_update(Output& to, std::uint32_t stream, std::uint32_t more) {
  char payload[4];
  write_u32(payload, more);
  put_frame(to, FrameType::kWindowUpdate, 0, stream, {payload, sizeof payload});
}

void put_goaway(Output& to, std::uint32_t last_stream, ErrorCode code) {
  char payload[8];
  write_u32(payload, last_stream);
  write_u32(payload + 4, static_cast<std::uint32_t>(code));
  put_frame(to, FrameType::kGoaway, 0, 0, {payload, sizeof payload});
}

char* write_setting(char* to, Setting name, std::uint32_t value) {
  write_u16(to, static_cast<std::uint16_t>(name));
  write_u32(to + 2, value);
  return to + kSettingSize;
}

}  // namespace mizzen::http::h2
