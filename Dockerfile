# aizumi's image: only dist/ and production dependencies. Redis runs in another container: set AIZUMI_REDIS_URL. aizumi listens on
# all addresses here, so it does not start without API keys: set AIZUMI_API_KEYS_FILE. `node dist/bin/key.js` creates a key.

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund \
  && node -e "const fs = require('fs'); for (const file of fs.globSync('node_modules/**/*.map')) fs.rmSync(file)" \
  && rm -f node_modules/swagger-ui-dist/swagger-ui-es-bundle*.js

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
RUN ["node", "scripts/build.mjs"]

FROM node:24-bookworm-slim
ENV NODE_ENV=production AIZUMI_HOST=0.0.0.0 AIZUMI_METRICS_HOST=0.0.0.0
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY --from=build /app/dist dist
# new volumes inherit the owner of these folders, so that make-secrets.sh can write the first key and the passwords
RUN mkdir -p /keys /first-key /passwords/redis /passwords/aizumi \
  && chown 1000:1000 /keys /first-key /passwords/redis /passwords/aizumi
# the image's user `node`, as a number: Kubernetes cannot verify from a name that it is not root (runAsNonRoot)
USER 1000:1000
EXPOSE 8080
HEALTHCHECK --interval=2s --timeout=3s --start-period=10s --retries=5 \
  CMD ["node", "dist/bin/healthcheck.js"]
# the process is PID 1 and handles SIGTERM itself: it drains for at most 9.5 s
CMD ["node", "dist/index.js"]
