# One image for receiver, worker and schedule: only the command differs.
# To add your hook's code to it, see deploy/compose/Dockerfile.platform.
FROM python:3.14-slim AS wheels
WORKDIR /build
COPY requirements.hashes.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --prefix=/install --require-hashes -r requirements.hashes.txt

FROM python:3.14-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --home-dir /app --no-create-home --shell /usr/sbin/nologin inbox && mkdir -p /app/data && chown inbox /app/data
WORKDIR /app
COPY --from=wheels /install /usr/local
COPY meetergo meetergo
COPY meetergo_inbox meetergo_inbox
COPY runtime runtime
COPY models models
COPY receiver receiver
COPY worker worker
COPY operations operations
COPY console console
COPY dashboard dashboard
COPY read_api read_api
COPY bin bin
COPY Procfile .
# COPY keeps the modes of a checkout that was cloned under umask 077, which the services' user could not read.
# Compiled once, here: the services write nothing into their own code, and each start would compile a hundred modules.
RUN chmod -R a+rX . && python -m compileall -q .
USER 10001
EXPOSE 8000
CMD ["python", "-m", "receiver"]
