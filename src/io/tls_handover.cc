// What must be known of OpenSSL's connection to go on without it: OpenSSL tells secrets only by its
// key log, and record numbers not at all.
#include <openssl/ssl.h>

#include "base/strings.h"
#include "io/tls_context.h"

namespace mizzen::io {
namespace {

// "LABEL client-random secret", both in hex (the SSLKEYLOGFILE format).
void key_log_callback(const SSL* ssl, const char* text) {
  auto* handshake = static_cast<TlsHandshake*>(SSL_get_app_data(ssl));
  if (handshake == nullptr) return;
  const std::string_view line(text);
  const bool client = line.starts_with("CLIENT_TRAFFIC_SECRET_0 ");
  if (!client && !line.starts_with("SERVER_TRAFFIC_SECRET_0 ")) return;
  const std::string_view hex = line.substr(line.rfind(' ') + 1);
  const bool ours = client != (SSL_is_server(ssl) == 1);
  TrafficSecret& to = ours ? handshake->secrets.write : handshake->secrets.read;
  if (hex.size() % 2 != 0 || hex.size() / 2 > to.bytes.size()) return;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  for (std::size_t i = 0; i < hex.size() / 2; ++i) {
    to.bytes[i] = static_cast<unsigned char>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  }
  to.size = hex.size() / 2;
}

// Each record's header is shown as it is read or written, each handshake message once it is whole.
void message_callback(int written, int, int type, const void* bytes, std::size_t size, SSL*,
                      void* argument) {
  auto& handshake = *static_cast<TlsHandshake*>(argument);
  TlsSecrets& secrets = handshake.secrets;
  if (type == SSL3_RT_HEADER) {
    ++(written != 0 ? secrets.records_written : secrets.records_read);
    return;
  }
  if (type != SSL3_RT_HANDSHAKE || size == 0) return;
  const auto message = *static_cast<const unsigned char*>(bytes);
  // The sender of Finished goes over to the application's keys with its next record.
  if (message == SSL3_MT_FINISHED) {
    (written != 0 ? secrets.records_written : secrets.records_read) = 0;
  } else if (message == SSL3_MT_KEY_UPDATE) {
    handshake.keys_changed = true;
  }
}

}  // namespace

void note_secrets(SSL_CTX* ctx) { SSL_CTX_set_keylog_callback(ctx, &key_log_callback); }

void note_records(SSL* ssl, TlsHandshake& handshake) {
  SSL_set_msg_callback(ssl, &message_callback);
  SSL_set_msg_callback_arg(ssl, &handshake);
}

}  // namespace mizzen::io
