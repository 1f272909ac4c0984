# One image for receiver, worker and schedule: only the command differs.
FROM python:3.11-slim AS wheels
WORKDIR /build
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --prefix=/install -r requirements.txt

FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 --home-dir /app inbox && mkdir -p /app/data && chown inbox /app/data
WORKDIR /app
COPY --from=wheels /install /usr/local
COPY meetergo meetergo
COPY runtime runtime
COPY models models
COPY receiver receiver
COPY worker worker
COPY operations operations
COPY console console
COPY dashboard dashboard
COPY bin bin
COPY Procfile .
USER 10001
EXPOSE 8000
CMD ["python", "-m", "receiver"]
