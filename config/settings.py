"""All settings of the project, assembled from their sections."""

from __future__ import annotations

from config.bridge_settings import BridgeSettings
from config.common_settings import FolderSettings, LogSettings
from config.database_settings import DatabaseSettings
from config.detection_settings import DetectionSettings
from config.kafka_settings import KafkaSettings
from config.notification_settings import NotificationSettings
from config.section import Section
from config.service_settings import ServiceSettings
from config.training_settings import MlflowSettings, TrainingSettings

#: The sections by their titles, in the order of ``docs/settings.md`` and ``.env.example``.
SECTIONS: dict[str, type[Section]] = {
    "folders": FolderSettings,
    "service": ServiceSettings,
    "detection": DetectionSettings,
    "Kafka": KafkaSettings,
    "bridge": BridgeSettings,
    "notifications": NotificationSettings,
    "MLflow": MlflowSettings,
    "PostgreSQL": DatabaseSettings,
    "training": TrainingSettings,
    "logs": LogSettings,
}


class Settings(
    FolderSettings,
    ServiceSettings,
    DetectionSettings,
    KafkaSettings,
    BridgeSettings,
    NotificationSettings,
    MlflowSettings,
    DatabaseSettings,
    TrainingSettings,
    LogSettings,
):
    """All settings of service, bridge, training and maintenance. Times are in seconds."""

    def mlflow_uri(self) -> str:
        """Return the tracking URI: as configured, else a SQLite file under VAR_DIR."""
        if self.mlflow_tracking_uri:
            return self.mlflow_tracking_uri
        return f"sqlite:///{(self.var_dir / 'mlflow' / 'mlflow.db').absolute()}"
