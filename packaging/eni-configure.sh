#!/bin/sh
# Starts the agent on the Node that came with it, whatever Node the machine has.

# What a developer's shell sets for a Node of its own would alter this one, or keep it from starting: an
# option that Node 16 does not know ends it, a module to load first or a coverage report would run and
# write as root, a channel that is not there ends it at its first word. Unset one by one: it costs no process.
unset NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_ICU_DATA NODE_NO_WARNINGS NODE_REDIRECT_WARNINGS
unset NODE_DEBUG NODE_DEBUG_NATIVE NODE_V8_COVERAGE NODE_COMPILE_CACHE NODE_COMPILE_CACHE_PORTABLE
unset NODE_DISABLE_COMPILE_CACHE NODE_DISABLE_COLORS NODE_PENDING_DEPRECATION NODE_PENDING_PIPE_INSTANCES
unset NODE_PRESERVE_SYMLINKS NODE_PRESERVE_SYMLINKS_MAIN NODE_REPL_EXTERNAL_MODULE NODE_REPL_HISTORY
unset NODE_SKIP_PLATFORM_CHECK NODE_TLS_REJECT_UNAUTHORIZED NODE_USE_ENV_PROXY NODE_USE_SYSTEM_CA
unset NODE_CHANNEL_FD NODE_CHANNEL_SERIALIZATION_MODE NODE_UNIQUE_ID NODE_CLUSTER_SCHED_POLICY
unset NODE_INSPECT_RESUME_ON_START NODE_MANY_ACCEPTS NODE_TEST_CONTEXT NODE_TEST_WORKER_ID
unset WATCH_REPORT_DEPENDENCIES UV_THREADPOOL_SIZE UV_USE_IO_URING
unset OPENSSL_CONF OPENSSL_CONF_INCLUDE OPENSSL_ENGINES OPENSSL_MODULES SSL_CERT_DIR SSL_CERT_FILE
# Node goes by the C++ library of the system, not by an older one that some other program brought.
unset LD_LIBRARY_PATH

exec /usr/lib/eni-configure/node /usr/lib/eni-configure/eni-configure.cjs "$@"
